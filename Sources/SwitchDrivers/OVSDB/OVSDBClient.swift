import Wire

/// A client of one OVSDB server (RFC 7047): connects when it is needed, and again when the connection is gone.
actor OVSDBClient {
  let endpoint: OVSDBEndpoint
  /// How long one request may take, connecting included.
  let limit: Duration
  /// The longest message taken from the server, in bytes; a longer one ends the connection.
  let messageLimit: Int

  private var connection: JSONRPCConnection?
  private var connecting: Task<Result<JSONRPCConnection, OVSDBError>, Never>?
  private var lastMonitor = 0

  init(_ endpoint: OVSDBEndpoint, limit: Duration = .seconds(5), messageLimit: Int = 32 << 20) {
    self.endpoint = endpoint
    self.limit = limit
    self.messageLimit = messageLimit
  }
  deinit { connection?.close() }

  /// A live connection. A server that is restarting is tried again, a little later each time, until `deadline`.
  private func connected(by deadline: ContinuousClock.Instant) async throws(OVSDBError) -> JSONRPCConnection {
    if let connection, connection.isOpen { return connection }
    if connecting == nil {
      let (endpoint, messageLimit) = (endpoint, messageLimit)
      // Shared by everyone who waits for the connection, so it is nobody's child.
      connecting = Task {
        var pause = Duration.milliseconds(20)
        while true {
          do throws(OVSDBError) {
            let left = max(deadline - .now, .milliseconds(100))
            return .success(try await JSONRPCConnection.open(endpoint, limit: left, messageLimit: messageLimit))
          } catch {
            if ContinuousClock.now + pause >= deadline { return .failure(error) }
            try? await Task.sleep(for: pause)
            pause = min(pause * 2, .seconds(1))
          }
        }
      }
    }
    guard let task = connecting else { throw .connectionLost }
    let result = await task.value
    if connecting == task {
      connecting = nil
      connection = try? result.get()
    }
    return try result.get()
  }

  /// Sends one request and waits for the answer.
  func call(_ method: String, _ parameters: JSON, limit: Duration? = nil) async throws(OVSDBError) -> JSON {
    let limit = limit ?? self.limit
    let deadline = ContinuousClock.now + limit
    let connection = try await connected(by: deadline)
    return try await connection.call(method, parameters, limit: max(deadline - .now, .milliseconds(50)))
  }

  /// Runs the operations as one transaction and returns the result of each (RFC 7047 section 4.1.3).
  /// - Throws: ``OVSDBError`` `.refused` when one of them, or the commit, failed: then nothing was done.
  ///   `.connectionLost` or `.timeout` when it is not known whether it was done.
  func transact(_ database: String, _ operations: [JSON], limit: Duration? = nil) async throws(OVSDBError) -> [JSON] {
    let answer = try await call("transact", .array([.string(database)] + operations), limit: limit)
    guard let results = answer.array else { throw .badMessage("the result of a transaction is no array") }
    // A failed operation has an error object, later ones null; a failed commit has one more result than operations.
    for result in results {
      if let error = result["error"]?.string {
        throw .refused(error, details: result["details"]?.string ?? "")
      }
    }
    guard results.count == operations.count else {
      throw .badMessage("\(results.count) results for \(operations.count) operations")
    }
    return results
  }

  /// The rows of the monitored tables now, and every change after it (RFC 7047 sections 4.1.5 and 4.1.6).
  ///
  /// The stream lives as long as the connection; it ends with an error, and the caller monitors again.
  /// - Parameter requests: an object of `<monitor-requests>`, table by table.
  func monitor(_ database: String, _ requests: JSON) async throws(OVSDBError) -> (
    initial: JSON, updates: AsyncThrowingStream<JSON, any Error>
  ) {
    let deadline = ContinuousClock.now + limit
    let connection = try await connected(by: deadline)
    lastMonitor += 1
    let id = "steelyard-\(lastMonitor)"
    let (stream, continuation) = AsyncThrowingStream.makeStream(of: JSON.self)
    connection.subscribe(id) { result in
      switch result {
      case .success(let update): continuation.yield(update)
      case .failure(let error): continuation.finish(throwing: error)
      }
    }
    let limit = limit
    continuation.onTermination = { reason in
      connection.unsubscribe(id)
      guard case .cancelled = reason else { return }
      // The consumer has gone and nobody waits for this answer.
      Task { _ = try? await connection.call("monitor_cancel", [.string(id)], limit: limit) }
    }
    do throws(OVSDBError) {
      let initial = try await connection.call(
        "monitor", [.string(database), .string(id), requests], limit: max(deadline - .now, .milliseconds(50)))
      return (initial, stream)
    } catch {
      continuation.finish(throwing: error)
      throw error
    }
  }

  func close() {
    connection?.close()
    connection = nil
  }
}
