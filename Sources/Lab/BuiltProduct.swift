import Foundation

/// The path of an executable that was built together with this one, such as `martlet`.
///
/// - Throws: ``Failure`` when it is not beside this program.
public func builtProduct(_ name: String) throws(Failure) -> String {
    let path = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
        .deletingLastPathComponent().appending(path: name).path()
    guard access(path, X_OK) == 0 else { throw Failure("find \(path)", code: errno) }
    return path
}
