import Glibc
import Synchronization

/// A fixed set of threads, each the only user of one session: SQL never runs on the cooperative pool.
final class WorkerPool<Job: Sendable>: Sendable {
  private let queue: JobQueue<Job>
  private let threads: [UInt]

  /// - Parameters:
  ///   - batch: so many jobs that wait are given to `perform` at once, at most.
  ///   - make: opens a thread's session.
  init(
    count: Int, batch: Int, make: () throws -> SQLiteSession,
    perform: @escaping @Sendable ([Job], SQLiteSession) -> Void
  ) throws {
    let queue = JobQueue<Job>()
    self.queue = queue
    var started: [UInt] = []
    for _ in 0..<count {
      let session = try make()
      let worker = Worker { while let jobs = queue.next(batch) { perform(jobs, session) } }
      var thread = pthread_t()
      let code = pthread_create(
        &thread, nil,
        { context in
          guard let context else { return nil }
          Unmanaged<Worker>.fromOpaque(context).takeRetainedValue().run()
          return nil
        }, Unmanaged.passRetained(worker).toOpaque())
      guard code == 0 else { throw StoreError(.other, "no thread for the database: \(code)") }
      started.append(UInt(thread))
    }
    threads = started
  }
  deinit { queue.close() }

  /// - Returns: false when the pool was stopped.
  func put(_ job: Job) -> Bool { queue.put(job) }

  /// Lets what is queued finish, then ends the threads and closes their sessions. Nothing may be queued after it.
  func stop() {
    queue.close()
    for thread in threads { pthread_join(pthread_t(thread), nil) }
  }
}

private final class Worker {
  let run: () -> Void
  init(_ run: @escaping () -> Void) { self.run = run }
}

/// A blocking queue: the only unchecked type here, guarded by its mutex.
private final class JobQueue<Job: Sendable>: @unchecked Sendable {
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var jobs: [Job] = []
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
  func put(_ job: Job) -> Bool {
    pthread_mutex_lock(mutex)
    let isAccepted = !isClosed
    if isAccepted { jobs.append(job) }
    pthread_mutex_unlock(mutex)
    // After the unlocking: who is woken would only wait for the mutex.
    if isAccepted { pthread_cond_signal(condition) }
    return isAccepted
  }
  /// Waits for jobs.
  /// - Returns: the first ones, so many at most; nil when the queue is closed and empty.
  func next(_ limit: Int) -> [Job]? {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while head == jobs.count {
      if isClosed { return nil }
      pthread_cond_wait(condition, mutex)
    }
    let end = min(head + limit, jobs.count)
    let next = Array(jobs[head..<end])
    head = end
    if head == jobs.count {
      jobs.removeAll(keepingCapacity: true)
      head = 0
    }
    return next
  }
  func close() {
    pthread_mutex_lock(mutex)
    isClosed = true
    pthread_cond_broadcast(condition)
    pthread_mutex_unlock(mutex)
  }
}
