import HTTPTypes
import Testing

@testable import API

struct PreconditionTests {
    @Test(arguments: [
        ([], Precondition.none), (["*"], .none), ([" * "], .none), (["\"7\""], .tags(["7"])),
        (["\"7\", \"8\""], .tags(["7", "8"])), (["\"7\",\"8\"", "\"9\""], .tags(["7", "8", "9"])),
        ([",, \"7\" ,"], .tags(["7"])), (["W/\"7\""], .tags([])),
        (["W/\"7\", \"8\""], .tags(["8"])),
        (["\"\""], .tags([""])), ([""], .tags([])), (["\"a,b\""], .tags(["a,b"])),
        ([String(repeating: ", ", count: 40_000)], .tags([])),
    ])
    func `a list of tags is read`(lines: [String], precondition: Precondition) throws {
        #expect(try Precondition(fields(lines)) == precondition)
    }

    @Test(arguments: [
        "7", "\"7", "7\"", "\"7\" \"8\"", "*, \"7\"", "w/\"7\"", "\"7\";", "\"7\" x", "**", "\"7",
        "\"a b\"",
    ])
    func `what is no list of tags is a mistake of who asks`(line: String) {
        let answer = #expect(throws: ProblemAnswer.self) { try Precondition(fields([line])) }
        #expect(answer?.status == .badRequest)
    }

    @Test func `only the present generation passes, and is named if it does not`() throws {
        #expect(try Precondition(fields(["\"6\", \"7\""])).generation(at: 7) == 7)
        #expect(try Precondition(fields(["*"])).generation(at: 7) == nil)
        let answer = #expect(throws: ProblemAnswer.self) {
            try Precondition(fields(["\"07\", W/\"7\""])).generation(at: 7)
        }
        #expect(answer?.status == .preconditionFailed)
        #expect(answer?.problem.detail?.contains("generation 7 counts now") == true)
    }

    private func fields(_ lines: [String]) -> HTTPFields {
        var fields = HTTPFields()
        for line in lines { fields.append(HTTPField(name: .ifMatch, value: line)) }
        return fields
    }
}

struct RequestTargetTests {
    @Test(arguments: [
        ("/v1/status", ["", "v1", "status"], []), ("/v1/status/", ["", "v1", "status", ""], []),
        ("/a%2Fb/%C3%A9+", ["", "a/b", "é+"], []),
        ("/a?b=c&d=%20+&e", ["", "a"], ["b=c", "d=  ", "e="]), ("/a?", ["", "a"], []),
        ("http://host:80/a?b=c?d", ["", "a"], ["b=c?d"]), ("*", ["*"], []), ("", [""], []),
    ])
    func `a target is taken apart`(text: String, parts: [String], query: [String]) {
        let target = RequestTarget(text)
        #expect(target.parts == parts)
        #expect(target.query?.map { "\($0.name)=\($0.value)" } == query)
    }

    @Test(arguments: ["/%", "/%4", "/%zz", "/%ff", "/%+1"])
    func `what is no text has no parts`(text: String) {
        #expect(RequestTarget(text).parts == nil)
        #expect(RequestTarget("/a?b=" + text.dropFirst()).query == nil)
    }
}
