public import CLinux
import Glibc

/// An array map in our memory, read and written in place without a system call.
///
/// `Word` is what one store writes: 4 or 8 bytes. A program in the kernel sees either the old
/// word or the new one, never a mixture.
///
/// Inlinable, for some go through millions of words.
public struct MappedArray<Word: FixedWidthInteger & BitwiseCopyable & Sendable>: ~Copyable {
    @usableFromInline let start: UnsafeMutableRawPointer
    @usableFromInline let size: Int
    /// How many words there are.
    public let count: Int

    /// Maps `map`, an array made with ``MapFlags/mappable``: `mmap(2)`.
    public init<Key, Value>(_ map: borrowing Map<Key, Value>) throws(Failure) {
        precondition(MemoryLayout<Value>.size % 8 == 0, "else the kernel pads elements")
        try self.init(
            map.number, name: map.name, bytes: map.capacity * MemoryLayout<Value>.size)
    }

    /// Maps an array whose values are bytes, element after element: see ``MapShape/stride``.
    public init(_ map: RawMap) throws(Failure) {
        try self.init(map.number, name: map.name, bytes: map.shape.capacity * map.shape.stride)
    }

    private init(_ number: Int32, name: String, bytes: Int) throws(Failure) {
        precondition(MemoryLayout<Word>.size == 4 || MemoryLayout<Word>.size == 8)
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        let size = (bytes + page - 1) / page * page
        let start = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, number, 0)
        guard let start, start != MAP_FAILED else { throw Failure("map", name, code: errno) }
        self.start = start
        self.size = size
        self.count = bytes / MemoryLayout<Word>.size
    }

    deinit { munmap(start, size) }

    /// The word at `index`, read or written at once.
    @inlinable
    public subscript(index: Int) -> Word {
        get {
            if MemoryLayout<Word>.size == 4 {
                return Word(truncatingIfNeeded: linux_load32(address(index)))
            }
            return Word(truncatingIfNeeded: linux_load64(address(index)))
        }
        nonmutating set {
            if MemoryLayout<Word>.size == 4 {
                linux_store32(address(index), UInt32(truncatingIfNeeded: newValue))
            } else {
                linux_store64(address(index), UInt64(truncatingIfNeeded: newValue))
            }
        }
    }

    /// Puts `new` in the place of `old`, at once.
    ///
    /// - Returns: Whether `old` was still there; else nothing has changed.
    @inlinable
    public func replace(_ old: Word, with new: Word, at index: Int) -> Bool {
        if MemoryLayout<Word>.size == 4 {
            return linux_exchange32(
                address(index), UInt32(truncatingIfNeeded: old), UInt32(truncatingIfNeeded: new))
        }
        return linux_exchange64(
            address(index), UInt64(truncatingIfNeeded: old), UInt64(truncatingIfNeeded: new))
    }

    /// Adds `difference` to the word at `index`, at once and modulo its size.
    @inlinable
    public func add(_ difference: Word, at index: Int) {
        if MemoryLayout<Word>.size == 4 {
            linux_add32(address(index), UInt32(truncatingIfNeeded: difference))
        } else {
            linux_add64(address(index), UInt64(truncatingIfNeeded: difference))
        }
    }

    /// A copy of the `index`th value, for values that nobody writes meanwhile or where a mixture of
    /// old and new words does no harm.
    public func value<Value: BitwiseCopyable>(at index: Int, as type: Value.Type) -> Value {
        let stride = MemoryLayout<Value>.size
        precondition(index >= 0 && (index + 1) * stride <= count * MemoryLayout<Word>.size)
        return (start + index * stride).loadUnaligned(as: Value.self)
    }

    @inlinable
    func address(_ index: Int) -> UnsafeMutableRawPointer {
        precondition(index >= 0 && index < count, "word \(index) of \(count)")
        return start + index * MemoryLayout<Word>.size
    }
}

/// Only this value knows the mapping, and every access is a single load or store.
extension MappedArray: @unchecked Sendable {}
