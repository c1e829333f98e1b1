import ConfigurationFile
import Glibc
import Testing

struct FileTests {
    @Test func `a file means what its text means`() throws {
        let state = try withFile(Array(example.utf8)) { try ConfigurationFile.read($0) }
        #expect(try state == parse(example, file: "m.yaml"))
    }

    @Test func `errors of a file carry its path`() throws {
        try withFile(Array("a".utf8)) { path in
            let error = #expect(throws: ConfigurationErrors.self) {
                try ConfigurationFile.read(path)
            }
            #expect(error?.description.hasPrefix("\(path):1:1: found \"a\"") == true)
        }
    }

    @Test(arguments: [
        ("/nowhere/martlet.yaml", "No such file or directory (2)\n  give the path of a file"),
        ("/", "Is a directory (21)\n  give the path of a file, not of a directory"),
        ("/dev/null/a", "Not a directory (20)\n  give the path"),
        ("/dev/zero", "the file is larger than 4 MiB (27)\n  give a configuration of at most"),
    ])
    func `what can't be read is refused with its errno and a cure`(path: String, reason: String) {
        let error = #expect(throws: ConfigurationErrors.self) {
            try ConfigurationFile.read(path)
        }
        #expect(error?.description.hasPrefix("cannot read \(path): \(reason)") == true)
    }

    @Test func `a file may be as large as the limit and no larger`() throws {
        let padding = [UInt8](
            repeating: UInt8(ascii: "#"), count: Limits.fileSize - example.utf8.count)
        let largest = Array(example.utf8) + padding
        #expect(throws: Never.self) { try withFile(largest) { _ = try ConfigurationFile.read($0) } }
        #expect(throws: ConfigurationErrors.self) {
            try withFile(largest + [0x0A]) { _ = try ConfigurationFile.read($0) }
        }
    }

    @Test(
        arguments: [
            (Array("a: é\r\nb: c".utf8) + [0xE9], "2:5"), ([0xFF], "1:1"),
            (Array("ab".utf8) + [0xC3], "1:3"), ([0x0D, 0x0A, 0x0A, 0x80], "3:1"),
            // A surrogate, which UTF-8 must not encode.
            ([0xED, 0xA0, 0x80], "1:1"),
        ] as [([UInt8], String)])
    func `bytes that are not UTF-8 are refused in their place`(
        bytes: [UInt8], place: String
    ) throws {
        try withFile(bytes) { path in
            let error = #expect(throws: ConfigurationErrors.self) {
                try ConfigurationFile.read(path)
            }
            #expect(
                error?.description.hasPrefix("\(path):\(place): found bytes that are not UTF-8")
                    == true, "\(String(describing: error))")
        }
    }
}
