import FoundationEssentials
import Testing

@testable import API

/// RFC 8259, and no more.
struct JSONReadingTests {
    @Test(arguments: [
        (
            #"{"a": [1, -2.5, 1e2, true, null]}"#,
            JSON.object(["a": [1, .number(-2.5), 100, true, .null]])
        ),
        ("\t\r\n 0 ", 0), ("-0", 0), ("1.0", 1), ("9007199254740993", 9_007_199_254_740_993),
        (#""é\u00e9\n\/\ud83d\ude00""#, "éé\n/😀"), ("{}", .object([:])), ("[]", .list([])),
        ("[[[[[[[[[[]]]]]]]]]]", .list([[[[[[[[[[]]]]]]]]]])),
        ("99999999999999999999", .number(1e20)), (#"{"":""}"#, .object(["": ""])),
    ])
    func `a JSON text is read`(text: String, value: JSON) throws {
        #expect(try JSON(reading: text) == value)
    }

    @Test(arguments: [
        "", " ", "{", "[", "[1,]", "{\"a\":1,}", "{a:1}", "{'a':1}", "{\"a\" 1}", "01", "-", "+1",
        ".5", "1.", "1e", "NaN", "Infinity", "-Infinity", "1e999", "nul", "True", "\"", "\"\t\"",
        #""\x""#, #""\u12""#, #""\ud800""#, #""\ud800\u0041""#, #""\udc00""#, "1 2", "{}{}",
        "/**/1", "[1 2]", "\u{feff}{}",
        String(repeating: "[", count: 33) + String(repeating: "]", count: 33),
        String(repeating: "[", count: 60_000), String(repeating: #"{"a":"#, count: 60_000),
    ])
    func `what only looks like JSON is refused`(text: String) {
        #expect(throws: JSONRefusal.self) { try JSON(reading: text) }
    }

    @Test func `a name that occurs twice is told with its place`() {
        let refusal = #expect(throws: JSONRefusal.self) {
            try JSON(reading: "{\"a\": 1,\n  \"\\u0061\": 2}")
        }
        #expect(
            refusal
                == JSONRefusal(
                    found: "\"a\" a second time", accepted: "each member once", line: 2, column: 3))
    }
}

struct MomentTests {
    @Test(arguments: [
        ("1970-01-01T00:00:00Z", 0), ("2030-01-31T12:00:00Z", 1_896_091_200),
        ("2030-01-31t12:00:00.5z", 1_896_091_200.5), ("2030-01-31T14:30:00+02:30", 1_896_091_200),
        ("2016-12-31T23:59:60Z", 1_483_228_800), ("2000-02-29T00:00:00Z", 951_782_400),
        ("0001-01-01T00:00:00Z", -62_135_596_800), ("9999-12-31T23:59:59Z", 253_402_300_799),
    ])
    func `a moment is read`(text: String, seconds: Double) {
        #expect(moment(text)?.timeIntervalSince1970 == seconds)
    }

    @Test(arguments: [
        "", "2030-01-31", "2030-01-31T12:00:00", "2030-01-31 12:00:00Z", "2030-02-30T12:00:00Z",
        "1900-02-29T00:00:00Z", "2030-13-01T00:00:00Z", "2030-00-01T00:00:00Z",
        "2030-01-00T00:00:00Z", "2030-01-01T24:00:00Z", "2030-01-01T00:60:00Z",
        "2030-01-01T00:00:61Z", "2030-01-01T00:00:00+24:00", "2030-01-01T00:00:00.Z",
        "٢٠٣٠-01-01T00:00:00Z", "2030-01-01T00:00:00Zx",
    ])
    func `what is no moment is none`(text: String) { #expect(moment(text) == nil) }
}
