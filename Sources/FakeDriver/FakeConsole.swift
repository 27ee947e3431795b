import DriverInterfaces

/// Tells what happens to the machine, a line each. It is read only while somebody has enabled it: thousands of fakes
/// have nothing to say.
struct FakeConsole: ConsoleInterface {
  let node: String
  let machines: FakeMachines
  let conduct: FakeConduct
  let isAlwaysRead = false

  func open() -> AsyncThrowingStream<[UInt8], any Error> {
    AsyncThrowingStream(bufferingPolicy: .bufferingNewest(512)) { continuation in
      let session = Task {
        do {
          let lines = try await conduct.call(.console) { machines.follow(node) }
          for await line in lines { continuation.yield(Array("\(line)\r\n".utf8)) }
          continuation.finish()
        } catch {
          continuation.finish(throwing: error)
        }
      }
      continuation.onTermination = { _ in session.cancel() }
    }
  }
}
