public import Balancing

/// Reads a configuration; all that is wrong with it is in the error.
///
/// Pure: nothing is looked up, so that a file can be checked on another machine.
///
/// - Parameters:
///   - text: YAML 1.1, one document.
///   - file: The name for the error messages.
public func parse(_ text: String, file: String) throws(ConfigurationErrors) -> DesiredState {
    let root: Value?
    do { root = try document(text) } catch {
        throw ConfigurationErrors(file: file, errors: error.errors)
    }
    guard let root else {
        let error = ConfigurationError(
            at: .start, found: "an empty document",
            accepted: "a mapping with the keys interfaces and services")
        throw ConfigurationErrors(file: file, errors: [error])
    }
    var reader = Reader()
    guard let state = reader.desiredState(root) else {
        throw ConfigurationErrors(file: file, errors: reader.errors)
    }
    return state
}
