public import Balancing

/// Reads a configuration; all that is wrong with it is in the error.
///
/// Pure: nothing is looked up, so that a file can be checked on another machine.
///
/// - Parameters:
///   - text: YAML 1.1, one document.
///   - file: The name for the error messages.
public func parse(_ text: String, file: String) throws(ConfigurationErrors) -> DesiredState {
    try Layers(text: text, file: file).desiredState()
}

/// The tree of a text that is no empty one.
///
/// - Parameter accepted: What stands in such a text.
func tree(_ text: String, accepted: String) throws(NotYAML) -> Value {
    if let root = try document(text) { return root }
    let error = ConfigurationError(at: .start, found: "an empty document", accepted: accepted)
    throw NotYAML(errors: [error])
}
