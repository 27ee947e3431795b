import Glibc
import Synchronization

/// A fixed set of threads, each the only user of one session: SQL never runs on the cooperative pool.
final class WorkerPool: Sendable {
  typealias Job = @Sendable (SQLiteSession) -> Void
  private let queue = JobQueue()
  private let threads: [UInt]

  init(count: Int, make: () throws -> SQLiteSession) throws {
    var started: [UInt] = []
    for _ in 0..<count {
      let worker = Worker(session: try make(), queue: queue)
      var thread = pthread_t()
      let code = pthread_create(
        &thread, nil,
        { context in
          guard let context else { return nil }
          let worker = Unmanaged<Worker>.fromOpaque(context).takeRetainedValue()
          while let job = worker.queue.next() { job(worker.session) }
          return nil
        }, Unmanaged.passRetained(worker).toOpaque())
      guard code == 0 else { throw StoreError(.other, "no thread for the database: \(code)") }
      started.append(UInt(thread))
    }
    threads = started
  }
  deinit { queue.close() }

  /// Lets what is queued finish, then ends the threads and closes their sessions. Nothing may be queued after it.
  func stop() {
    queue.close()
    for thread in threads { pthread_join(pthread_t(thread), nil) }
  }

  func run<T: Sendable>(_ body: @escaping @Sendable (SQLiteSession) throws -> T) async throws -> T {
    try await withCheckedThrowingContinuation { continuation in
      let accepted = queue.put { session in continuation.resume(with: Result { try body(session) }) }
      if !accepted { continuation.resume(throwing: StoreError(.other, "the database is closed")) }
    }
  }

  private final class Worker {
    let session: SQLiteSession
    let queue: JobQueue
    init(session: SQLiteSession, queue: JobQueue) {
      self.session = session
      self.queue = queue
    }
  }
}

/// A blocking queue: the only unchecked type here, guarded by its mutex.
private final class JobQueue: @unchecked Sendable {
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var jobs: [WorkerPool.Job] = []
  private var head = 0
  private var isClosed = false

  init() {
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(condition, nil)
  }
  deinit {
    pthread_mutex_destroy(mutex)
    pthread_cond_destroy(condition)
    mutex.deallocate()
    condition.deallocate()
  }
  /// - Returns: false when the queue is closed.
  func put(_ job: @escaping WorkerPool.Job) -> Bool {
    pthread_mutex_lock(mutex)
    let isAccepted = !isClosed
    if isAccepted { jobs.append(job) }
    pthread_mutex_unlock(mutex)
    // After the unlocking: who is woken would only wait for the mutex.
    if isAccepted { pthread_cond_signal(condition) }
    return isAccepted
  }
  func next() -> WorkerPool.Job? {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while head == jobs.count {
      if isClosed { return nil }
      pthread_cond_wait(condition, mutex)
    }
    let job = jobs[head]
    head += 1
    if head == jobs.count {
      jobs.removeAll(keepingCapacity: true)
      head = 0
    }
    return job
  }
  func close() {
    pthread_mutex_lock(mutex)
    isClosed = true
    pthread_cond_broadcast(condition)
    pthread_mutex_unlock(mutex)
  }
}
