import Testing

@testable import API

struct EventParserTests {
    private func found(_ pieces: [String]) -> [String] {
        var parser = EventParser()
        return pieces.flatMap { parser.take($0.utf8) }.map { String(decoding: $0, as: UTF8.self) }
    }

    @Test(
        arguments: [
            ("data: {\"a\":1}\n\n", ["{\"a\":1}"]),
            ("id: 7\nevent: health\ndata: x\n\n", ["x"]),
            ("id: 7\r\ndata: x\r\n\r\n", ["x"]),
            ("data:x\n\ndata: y\n\n", ["x", "y"]),
            ("data: x\ndata: y\n\n", ["x\ny"]),
            (": a comment\n\n", []), ("retry: 1000\n\n", []), ("data: cut", []),
            ("data: cut\n", []),
        ] as [(String, [String])])
    func `an event is whole at an empty line, wherever the bytes are cut`(
        text: String, events: [String]
    ) {
        #expect(found([text]) == events)
        #expect(found(text.map(String.init)) == events)
    }
}
