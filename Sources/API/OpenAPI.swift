import Control
import HTTPTypes

/// The API's description by OpenAPI 3.1, made from the table of operations.
let openAPIDocument: JSON = [
    "openapi": "3.1.0",
    "info": [
        "title": "Martlet", "version": "1",
        "summary": "The controller of a layer-4 load balancer.",
        "description": """
        Every answer has the generation that counts as its ETag; with If-Match a change is made \
        only at that one. HEAD is taken wherever GET is. What is refused has changed nothing.
        """,
        "license": ["name": "Apache-2.0", "identifier": "Apache-2.0"],
    ],
    "servers": [["url": "/"]],
    "paths": paths,
    "components": ["schemas": .object(Schema.named.mapValues(\.json))],
]

private var paths: JSON {
    var paths: [String: JSON] = [:]
    for (path, operations) in Dictionary(grouping: operationTable, by: \.path) {
        var item: [String: JSON] = [:]
        if !path.names.isEmpty { item["parameters"] = .list(path.names.map(pathParameter)) }
        for operation in operations {
            item[operation.method.rawValue.lowercased()] = operation.json
        }
        paths[path.text] = .object(item)
    }
    return .object(paths)
}

private func pathParameter(_ name: String) -> JSON {
    let examples: [String: JSON] = [
        "service": ["file": ["value": "web"], "own": ["value": "dns"]],
        "backend": [
            "first": ["value": "server-a"], "other": ["value": "server-b"],
            "own": ["value": "server-c"],
        ],
        "number": ["first": ["value": 1]],
    ]
    return .object([
        "name": .text(name), "in": "path", "required": true,
        "schema": PathTemplate.schema(of: name).json, "examples": examples[name] ?? [:],
    ])
}

extension Operation {
    fileprivate var json: JSON {
        var fields: [String: JSON] = [
            "operationId": .text(name), "summary": .text(summary), "x-role": .text(role.rawValue),
            "responses": responses,
        ]
        let parameters = parameters.map(\.json) + (isConditional ? [ifMatch] : [])
        if !parameters.isEmpty { fields["parameters"] = .list(parameters) }
        if let requestBody { fields["requestBody"] = requestBody }
        return .object(fields)
    }

    private var ifMatch: JSON {
        [
            "name": "If-Match", "in": "header", "required": false,
            "description": "Generations, one of which must be the one that counts.",
            "schema": [
                "type": "string",
                "pattern": #"^(\*|"[0-9]{1,15}"([ \t]*,[ \t]*"[0-9]{1,15}")*)$"#,
            ],
        ]
    }

    private var requestBody: JSON? {
        switch body {
        case .none: nil
        case .order(let schema, let example):
            .object([
                "required": .boolean(needsBody),
                "content": ["application/json": ["schema": schema.json, "example": example]],
            ])
        case .configuration(let example):
            // The rules of its keys are those of the configuration file, which are not repeated.
            [
                "required": true,
                "content": [
                    "application/yaml": ["schema": ["type": "object"], "example": example],
                    "application/json": ["schema": ["type": "object"], "example": example],
                ],
            ]
        }
    }

    private var responses: JSON {
        var responses: [String: JSON] = [:]
        switch answer {
        case .nothing: responses["204"] = response("Done.")
        case .json(let schema):
            responses["200"] = response("As asked.", "application/json", schema.json)
        case .text(let type): responses["200"] = response("As asked.", type, ["type": "string"])
        case .events:
            responses["200"] = response(
                "Events until the listener goes, or the controller ends; each with an Event in "
                    + "its data.", "text/event-stream", eventJSON)
        }
        for status in statuses {
            responses["\(status.code)"] = response(
                status.reasonPhrase, "application/problem+json", Schema.reference("Problem").json)
        }
        return .object(responses)
    }

    private var statuses: [HTTPResponse.Status] {
        var statuses: [HTTPResponse.Status] = [
            .badRequest, .notFound, .unprocessableContent, .internalServerError,
        ]
        statuses += refusals
        if isChange { statuses += [.forbidden, .conflict] }
        if isConditional { statuses.append(.preconditionFailed) }
        if case .none = body { return statuses }
        return statuses + [.contentTooLarge, .unsupportedMediaType]
    }

    private func response(_ words: String, _ type: String? = nil, _ schema: JSON = .null) -> JSON {
        var fields: [String: JSON] = [
            "description": .text(words),
            "headers": [
                "ETag": [
                    "description": "The generation that counts.", "required": true,
                    "schema": ["type": "string", "pattern": #"^"[0-9]+"$"#],
                ]
            ],
        ]
        if let type { fields["content"] = .object([type: ["schema": schema]]) }
        return .object(fields)
    }
}

/// Of one event of the stream, as its lines have it.
private let eventJSON: JSON = [
    "type": "object", "required": ["id", "event", "data"],
    "properties": [
        "id": ["type": "string", "pattern": "^[0-9]+$"],
        "event": Schema.choice(Event.Kind.allCases.map(\.rawValue)).json,
        "data": [
            "type": "string", "contentMediaType": "application/json",
            "contentSchema": Schema.reference("Event").json,
        ],
    ],
]

extension Operation.Parameter {
    fileprivate var json: JSON {
        var fields: [String: JSON] = [
            "name": .text(name), "in": .text(place.rawValue), "required": .boolean(isRequired),
            "description": .text(summary), "schema": schema.json,
        ]
        if let example { fields["example"] = example }
        return .object(fields)
    }
}
