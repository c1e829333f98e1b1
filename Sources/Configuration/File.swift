public import Balancing
import Glibc

/// Reads the configuration in the file at `path`.
///
/// A file that can't be read is told in the same form as what is wrong inside one.
public func read(_ path: String) throws(ConfigurationErrors) -> DesiredState {
    try parse(try contents(of: path), file: path)
}

private func contents(of path: String) throws(ConfigurationErrors) -> String {
    guard let file = unsafe fopen(path, "rb") else { throw unreadable(path, errno) }
    defer { unsafe fclose(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while case let count = unsafe fread(&chunk, 1, chunk.count, file), count > 0 {
        bytes += chunk[..<count]
        guard bytes.count <= Limits.fileSize else {
            throw whole(
                path, found: "more than \(Limits.fileSize) bytes", accepted: "a smaller file")
        }
    }
    if unsafe ferror(file) != 0 { throw unreadable(path, errno) }
    guard let text = String(validating: bytes, as: UTF8.self) else {
        throw whole(path, found: "bytes that are not UTF-8", accepted: "text in UTF-8")
    }
    return text
}

private func unreadable(_ path: String, _ code: Int32) -> ConfigurationErrors {
    let reason = unsafe String(cString: strerror(code))
    return whole(path, found: "\(reason) (\(code))", accepted: "a file that can be read")
}

private func whole(_ path: String, found: String, accepted: String) -> ConfigurationErrors {
    ConfigurationErrors(
        file: path,
        errors: [
            ConfigurationError(line: 0, column: 0, path: "", found: found, accepted: accepted)
        ])
}
