package import BPF
package import Balancing
package import CDatapath
import Packets

// Which keys lead to which services: the maps say so, and the index once more.

extension XDPPlane {
    /// What a packet finds under the key: in the index, or where that sends it.
    package func service(behind key: ServiceKey) throws(Failure) -> martlet_service? {
        switch key.vip {
        case .v4(let vip):
            let key = martlet_service_v4(vip, key)
            if let word = index.v4.service(for: key.indexKey) { return martlet_service(word) }
            return index.v4.overflows(at: key.indexKey)
                ? try tables.servicesV4.value(for: key) : nil
        case .v6(let vip):
            let key = martlet_service_v6(vip, key)
            if let word = index.v6.service(for: key.indexKey) { return martlet_service(word) }
            return index.v6.overflows(at: key.indexKey)
                ? try tables.servicesV6.value(for: key) : nil
        }
    }

    /// Has the index say what the maps say under these keys.
    package func follow(_ keys: [ServiceKey]) throws(Failure) {
        for key in keys {
            switch key.vip {
            case .v4(let vip):
                let key = martlet_service_v4(vip, key)
                if let service = try tables.servicesV4.value(for: key) {
                    index.v4.set(service.word, for: key.indexKey)
                }
            case .v6(let vip):
                let key = martlet_service_v6(vip, key)
                if let service = try tables.servicesV6.value(for: key) {
                    index.v6.set(service.word, for: key.indexKey)
                }
            }
        }
    }

    /// The map first, which is what a restart believes; then the index.
    ///
    /// When something is refused, what was removed before stays removed.
    func remove(_ keys: [ServiceKey]) throws(Failure) {
        var refusal: Failure?
        var areOverflowing = false
        do throws(Failure) {
            for key in keys {
                switch key.vip {
                case .v4(let vip):
                    let key = martlet_service_v4(vip, key)
                    try tables.servicesV4.remove(key)
                    index.v4.clear(key.indexKey)
                    areOverflowing = areOverflowing || index.v4.overflows(at: key.indexKey)
                case .v6(let vip):
                    let key = martlet_service_v6(vip, key)
                    try tables.servicesV6.remove(key)
                    index.v6.clear(key.indexKey)
                    areOverflowing = areOverflowing || index.v6.overflows(at: key.indexKey)
                }
            }
        } catch {
            refusal = error
        }
        try waitForPackets()
        if areOverflowing { try settle() }
        if let refusal { throw refusal }
    }

    /// Makes the index say what the maps say, and nothing else.
    ///
    /// For a controller that takes over what another one left, perhaps between two stores.
    package func rebuildIndex() throws(Failure) {
        let keysV4 = Set(try tables.servicesV4.keys().map(\.indexKey))
        let keysV6 = Set(try tables.servicesV6.keys().map(\.indexKey))
        let isClearedV4 = index.v4.clear { !keysV4.contains($0) }
        let isClearedV6 = index.v6.clear { !keysV6.contains($0) }
        if isClearedV4 || isClearedV6 { try waitForPackets() }
        try settle()
    }

    /// Has every packet look into the maps, as if no key had a place in the index. For the fuzzer.
    package func overflowIndex() throws(Failure) {
        index.v4.overflowAll()
        index.v6.overflowAll()
    }

    /// Gives every key a place if its bucket has one left, and clears the flags that are not
    /// needed any more. In between the last packet leaves that has seen a bucket without the key.
    private func settle() throws(Failure) {
        let keysV4 = try tables.servicesV4.keys()
        let keysV6 = try tables.servicesV6.keys()
        for key in keysV4 {
            guard let service = try tables.servicesV4.value(for: key) else { continue }
            index.v4.set(service.word, for: key.indexKey)
        }
        for key in keysV6 {
            guard let service = try tables.servicesV6.value(for: key) else { continue }
            index.v6.set(service.word, for: key.indexKey)
        }
        try waitForPackets()
        index.v4.clearFlags(knowing: keysV4.map(\.indexKey))
        index.v6.clearFlags(knowing: keysV6.map(\.indexKey))
    }

    /// Returns when every packet has left the program that was in it at the call.
    ///
    /// The kernel waits for them when a map in a map is replaced (`maybe_wait_bpf_programs`), so
    /// that who replaces it knows that nobody has the old one. No service has the number 0.
    func waitForPackets() throws(Failure) {
        let nothing = try Map<UInt32, martlet_slot_pair>(
            creating: .array, named: "nothing", capacity: 1, flags: [.mappable, .innerOfAnySize])
        try tables.smallSlotTables.set(inner: nothing, for: 0)
    }
}
