import SwiftASN1

/// Whose certificate it is: the common names of its subject (RFC 5280, 4.1.2.6), and those of its
/// alternative names that are texts (4.2.1.6): of hosts, of mailboxes, and URIs.
struct CertificateNames: Hashable, Sendable, CustomStringConvertible {
    private(set) var common: [String] = []
    private(set) var alternative: [String] = []

    var all: [String] { common + alternative }

    /// `CN=alice`; for the audit log, which is of lines.
    var description: String {
        let name = common.last.map { "CN=\($0)" } ?? alternative.first.map { "SAN=\($0)" }
        let text = (name ?? "a certificate without a name").unicodeScalars.map { scalar in
            scalar.properties.generalCategory == .control ? "\u{fffd}" : String(scalar)
        }
        return text.joined()
    }

    /// - Parameter bytes: A certificate that TLS has accepted.
    init(der bytes: [UInt8]) throws {
        let parts = try DER.parse(bytes).children.first?.children ?? []
        // The version comes first, if it is not the first version.
        let version = ASN1Identifier(tagWithNumber: 0, tagClass: .contextSpecific)
        let fields = parts.first?.identifier == version ? parts.dropFirst() : parts[...]
        // Serial number, algorithm, issuer, validity, subject.
        let subject = fields.dropFirst(4).first?.children ?? []
        for attribute in subject.flatMap(\.children).map(\.children) where attribute.count == 2 {
            guard try attribute[0].isIdentifier([2, 5, 4, 3]),
                [.utf8String, .printableString, .ia5String].contains(attribute[1].identifier)
            else { continue }
            common += attribute[1].text.map { [$0] } ?? []
        }
        let extensions = ASN1Identifier(tagWithNumber: 3, tagClass: .contextSpecific)
        let list = fields.first { $0.identifier == extensions }?.children.first?.children ?? []
        for item in list.map(\.children) {
            guard let name = item.first, let value = item.last,
                try name.isIdentifier([2, 5, 29, 17]), case .primitive(let content) = value.content
            else { continue }
            alternative += try DER.parse(content).children.compactMap { name in
                let isText =
                    name.identifier.tagClass == .contextSpecific
                    && [1, 2, 6].contains(name.identifier.tagNumber)
                return isText ? name.text : nil
            }
        }
    }
}

extension ASN1Node {
    fileprivate var children: [ASN1Node] {
        guard case .constructed(let nodes) = content else { return [] }
        return Array(nodes)
    }

    fileprivate var text: String? {
        guard case .primitive(let bytes) = content else { return nil }
        return String(validating: bytes, as: UTF8.self)
    }

    fileprivate func isIdentifier(_ wanted: ASN1ObjectIdentifier) throws -> Bool {
        guard identifier == .objectIdentifier else { return false }
        return try ASN1ObjectIdentifier(derEncoded: self) == wanted
    }
}
