/// Trees made of others: how what was ordered over the API comes into the tree of the file.
extension Value {
    /// The value under `key`, if this is a mapping that has it.
    subscript(key: String) -> Value? {
        guard case .mapping(let entries) = content else { return nil }
        return entries.first { $0.key.text == key }?.value
    }

    /// What stands here, if it is a text.
    var text: String? {
        guard case .text(let text, _) = content else { return nil }
        return text
    }

    /// What stands here, if it is a list; else nothing.
    var elements: [Value] {
        guard case .list(let values) = content else { return [] }
        return values
    }

    /// The names of the mappings of a list.
    var names: Set<String> { Set(elements.compactMap { $0["name"]?.text }) }

    /// The same with `change` made to the list under `key`; without such a list there is nothing
    /// to change, and the reader says so.
    func changing(listAt key: String, _ change: ([Value]) -> [Value]) -> Value {
        guard case .mapping(var entries) = content,
            let index = entries.firstIndex(where: { $0.key.text == key }),
            case .list(let values) = entries[index].value.content
        else { return self }
        let list = Value(position: entries[index].value.position, content: .list(change(values)))
        entries[index] = Entry(key: entries[index].key, value: list)
        return with(.mapping(entries))
    }

    /// The same mapping with `text` under `key`, in place of what was there.
    func setting(_ key: String, to text: String) -> Value {
        guard case .mapping(var entries) = content else { return self }
        let value = Value(position: position, content: .text(text, isQuoted: false))
        if let index = entries.firstIndex(where: { $0.key.text == key }) {
            entries[index] = Entry(key: entries[index].key, value: value)
        } else {
            let key = Value(position: position, content: .text(key, isQuoted: false))
            entries.append(Entry(key: key, value: value))
        }
        return with(.mapping(entries))
    }

    /// The same tree in another text, of which it is all.
    func wholeText(_ source: Int) -> Value {
        var value = inSource(source)
        value.isWholeText = true
        return value
    }

    private func inSource(_ source: Int) -> Value {
        let content: Content =
            switch content {
            case .list(let values): .list(values.map { $0.inSource(source) })
            case .mapping(let entries):
                .mapping(
                    entries.map {
                        Entry(key: $0.key.inSource(source), value: $0.value.inSource(source))
                    })
            case .nothing, .text, .unsupported: content
            }
        return Value(position: position.inSource(source), content: content)
    }

    private func with(_ content: Content) -> Value {
        var value = Value(position: position, content: content)
        value.isWholeText = isWholeText
        return value
    }
}
