import BPF
import Glibc
import Testing

@Suite(.enabled(if: geteuid() == 0, "loading BPF programs needs root"))
struct BPFTests {
    @Test func `an object that is no ELF file is refused by name`() {
        let garbage: [UInt8] = [1, 2, 3, 4]
        let error = #expect(throws: Failure.self) {
            _ = try ObjectFile(named: "garbage", image: garbage.span)
        }
        #expect(error?.description.hasPrefix("cannot read object garbage: ") == true)
    }

    @Test func `a map keeps what is set, one by one and in a batch, until it is removed`() throws {
        let map = try Map<UInt32, UInt64>(creating: .hash, named: "test", capacity: 100)
        try map.set(7, for: 1)
        try map.set((10..<60).map { (key: UInt32($0), value: UInt64($0) * 2) })
        #expect(try map.value(for: 1) == 7)
        #expect(try map.value(for: 59) == 118)
        #expect(try map.value(for: 60) == nil)
        #expect(try map.keys().sorted() == [1] + Array(10..<60))
        #expect(try map.remove(1))
        #expect(try map.remove(1) == false)
    }

    @Test func `a full map refuses with errno and its name`() throws {
        let map = try Map<UInt32, UInt64>(creating: .array, named: "tiny", capacity: 2)
        let error = #expect(throws: Failure.self) { try map.set(1, for: 2) }
        #expect(error?.code == E2BIG)
        #expect(error?.description.hasPrefix("cannot write map tiny: ") == true)
    }

    @Test func `a word written through the mapping is what the map holds`() throws {
        let map = try Map<UInt32, UInt64>(
            creating: .array, named: "mapped", capacity: 1000, flags: .mappable)
        let words = try MappedArray<UInt32>(map)
        #expect(words.count == 2000)
        words[1999] = 0xDEAD_BEEF
        #expect(try map.value(for: 999) == 0xDEAD_BEEF << 32)
        try map.set(5, for: 0)
        #expect(words[0] == 5)
    }

    @Test(arguments: [
        ("6.1.0-18-amd64", KernelVersion(6, 1)), ("5.10.0", KernelVersion(5, 10)),
        ("6.18.44", KernelVersion(6, 18)), ("6.12-rc1", KernelVersion(6, 12)),
    ])
    func `a kernel's release begins with its version`(release: String, version: KernelVersion) {
        #expect(KernelVersion(release: release) == version)
    }

    @Test func `a kernel that is too old is refused with the cure`() {
        let error = #expect(throws: Failure.self) { try requireKernel(KernelVersion(99, 0)) }
        #expect(error?.description.contains("Linux 99.0 or newer is needed") == true)
    }
}
