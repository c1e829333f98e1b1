import Glibc
import Testing

@testable import Netlink

struct FailureTests {
    @Test(arguments: [
        (
            Failure("list", "links", code: EIO), "cannot list links: Input/output error (5)"
        ),
        (
            Failure("resolve", "10.0.0.2", code: EINVAL, kernelText: "Invalid device"),
            "cannot resolve 10.0.0.2: Invalid argument: Invalid device (22)"
        ),
        (
            Failure("resolve", "10.0.0.2", code: EPERM),
            """
            cannot resolve 10.0.0.2: Operation not permitted (1)
              run as root, or with the capability CAP_NET_ADMIN
            """
        ),
        (Failure("list", "links", because: "it lies"), "cannot list links: it lies"),
    ])
    func `a failure says what, why and what helps`(failure: Failure, text: String) {
        #expect(failure.description == text)
    }
}
