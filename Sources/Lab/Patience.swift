/// How long something may take that takes moments: a machine may be busy with other tests, and
/// nothing is waited for in vain but in a test that fails.
public let patience = Duration.seconds(30)
