public import Balancing
import Glibc

/// Reads the configuration in the file at `path`: `open(2)`, `read(2)`.
///
/// `-` is the standard input. A file that can't be read is told in the same error as what is wrong
/// inside one.
public func read(_ path: String) throws(ConfigurationErrors) -> DesiredState {
    try parse(try readText(path), file: path)
}

/// The text of the file at `path`, whatever it says.
public func readText(_ path: String) throws(ConfigurationErrors) -> String {
    let bytes = try contents(ofFileAt: path)
    guard let text = String(validating: bytes, as: UTF8.self) else {
        throw ConfigurationErrors(file: path, errors: [notUTF8(bytes)])
    }
    return text
}

private func contents(ofFileAt path: String) throws(ConfigurationErrors) -> [UInt8] {
    if path == "-" { return try contents(of: STDIN_FILENO, path) }
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw refusal(of: path, errno) }
    defer { close(descriptor) }
    return try contents(of: descriptor, path)
}

private func contents(
    of descriptor: Int32, _ path: String
) throws(ConfigurationErrors) -> [UInt8] {
    var contents: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
        let count = unsafe Glibc.read(descriptor, &buffer, buffer.count)
        if count < 0, errno == EINTR { continue }
        guard count >= 0 else { throw refusal(of: path, errno) }
        guard count > 0 else { return contents }
        contents += buffer.prefix(count)
        guard contents.count <= Limits.fileSize else {
            throw ConfigurationErrors(
                file: path,
                refusal: "the file is larger than \(Limits.fileSize >> 20) MiB (\(EFBIG))\n"
                    + "  give a configuration of at most \(Limits.services) services and "
                    + "\(Limits.backends) backends")
        }
    }
}

private func refusal(of path: String, _ code: Int32) -> ConfigurationErrors {
    let reason = unsafe String(cString: strerror(code))
    let cure = cures[code].map { "\n  \($0)" } ?? ""
    return ConfigurationErrors(file: path, refusal: "\(reason) (\(code))\(cure)")
}

private let cures: [Int32: String] = [
    ENOENT: "give the path of a file that exists",
    ENOTDIR: "give the path of a file that exists",
    EISDIR: "give the path of a file, not of a directory",
    EACCES: "run as a user who may read it, or change its mode with chmod",
    ENAMETOOLONG: "give the path of a file that exists",
    ELOOP: "give the path of a file; this one is a symbolic link that leads back to itself",
]

/// Names the first byte that is no part of a character.
private func notUTF8(_ bytes: [UInt8]) -> ConfigurationError {
    var decoder = UTF8()
    var iterator = bytes.makeIterator()
    var position = Position.start
    var previous: Unicode.Scalar?
    while case .scalarValue(let scalar) = decoder.decode(&iterator) {
        if let previous { position.step(over: previous, before: scalar) }
        previous = scalar
    }
    if let previous { position.step(over: previous, before: nil) }
    return ConfigurationError(
        at: position, found: "bytes that are not UTF-8",
        accepted: "UTF-8; iconv -t UTF-8 -f with the file's encoding makes it so")
}
