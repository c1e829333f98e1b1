/// A value of the document with the place where it stands.
///
/// The file's own kinds only: what a text means (a number, a duration) is decided by the key
/// under which it stands, never by how it looks.
struct Value {
    enum Content {
        /// An empty value, `~` or `null`.
        case nothing
        case text(String, isQuoted: Bool)
        case list([Value])
        case mapping([Entry])
        /// A feature of YAML that this file does without, in words.
        case unsupported(String)
    }

    /// A key and what stands under it.
    struct Entry {
        let key: Value
        let value: Value
    }

    let position: Position
    let content: Content
    /// Whether it is all of a text that was read with others: paths begin here.
    var isWholeText = false

    /// What stands here, as it reads after "found".
    var found: String {
        switch content {
        case .nothing: "nothing"
        case .text(let text, let isQuoted):
            if isQuoted {
                "\(shown(text)) in quotes"
            } else {
                Int(text) == nil ? shown(text) : text
            }
        case .list: "a list"
        case .mapping: "a mapping"
        case .unsupported(let words): words
        }
    }
}

/// The text in quotes, on one line and not too long, whatever it holds.
func shown(_ text: String) -> String {
    let beginning = String(text.prefix(60))
    return (beginning == text ? text : beginning + "…").debugDescription
}

/// How a value is reached: `services[0].backends[1].address`.
struct Path {
    let text: String

    static let root = Path(text: "")

    /// The value under `key` of the mapping here.
    func key(_ key: String) -> Path {
        let isSimple =
            !key.isEmpty && key.utf8.count <= 60
            && key.utf8.allSatisfy { (33...126).contains($0) && $0 != UInt8(ascii: "\"") }
        let name = isSimple ? key : shown(key)
        return Path(text: text.isEmpty ? name : "\(text).\(name)")
    }

    /// The value at `index` of the list here.
    func index(_ index: Int) -> Path { Path(text: "\(text)[\(index)]") }
}
