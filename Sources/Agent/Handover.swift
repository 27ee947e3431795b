import Glibc

/// What some threads put in and others take out, each waiting for the other.
final class Handover<Item: Sendable>: @unchecked Sendable {
  // Guarded by its mutex.
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var items: [Item] = []
  private var isClosed = false

  init(_ items: [Item] = []) {
    self.items = items
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(condition, nil)
  }
  deinit {
    pthread_mutex_destroy(mutex)
    pthread_cond_destroy(condition)
    mutex.deallocate()
    condition.deallocate()
  }

  func put(_ item: Item) {
    pthread_mutex_lock(mutex)
    items.append(item)
    pthread_cond_signal(condition)
    pthread_mutex_unlock(mutex)
  }
  /// The oldest item, waiting for one; nil when there will be none any more.
  func take() -> Item? {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while items.isEmpty {
      if isClosed { return nil }
      pthread_cond_wait(condition, mutex)
    }
    return items.removeFirst()
  }
  /// What is there is still taken out.
  func close() {
    pthread_mutex_lock(mutex)
    isClosed = true
    pthread_cond_broadcast(condition)
    pthread_mutex_unlock(mutex)
  }
}

/// Threads that are waited for.
final class ThreadGroup {
  private let ended = Handover<Void>()
  private var count = 0
  /// Runs `body` in a thread of its own.
  func start(_ body: @escaping @Sendable () -> Void) {
    count += 1
    startThread { [ended] in
      body()
      ended.put(())
    }
  }
  /// Returns when all have ended.
  func wait() {
    for _ in 0..<count { _ = ended.take() }
    count = 0
  }
}
