/// One change that waits for the writer.
struct Write: Sendable {
  /// Does it, and gives what tells the caller: nil once it is on the disk, else why it is not.
  let run: @Sendable (SQLiteSession) throws -> @Sendable (_ failure: (any Error)?) -> Void
  /// Tells the caller that it was not done.
  let refuse: @Sendable (any Error) -> Void
}

/// Puts the changes that wait into one transaction: a commit waits for the disk, and those who came meanwhile share the next.
///
/// Each has a savepoint of its own, so that one which fails takes nothing of the others with it, and nobody is told
/// anything before all of it is on the disk.
enum GroupCommit {
  /// So many changes share a commit at most: it is also how long a change may wait for others.
  static let limit = 64

  static func perform(_ writes: [Write], in session: SQLiteSession) {
    var rest = writes[...]
    while !rest.isEmpty { rest = together(rest, in: session) }
  }

  /// - Returns: what is still to be done, when SQLite ended the transaction half way.
  private static func together(_ writes: ArraySlice<Write>, in session: SQLiteSession) -> ArraySlice<Write> {
    do { try session.begin(write: true) } catch {
      for write in writes { write.refuse(error) }
      return []
    }
    var tell: [@Sendable ((any Error)?) -> Void] = []
    for (index, write) in zip(writes.indices, writes) {
      do {
        if writes.count == 1 {
          tell.append(try write.run(session))
        } else {
          tell.append(try session.withSavepoint { try write.run(session) })
        }
      } catch {
        write.refuse(error)
        // Out of room or of memory, SQLite takes back the whole transaction by itself, and who shared it hears of it.
        guard writes.count > 1, session.isInTransaction else {
          session.rollback()
          for tell in tell { tell(error) }
          return writes[(index + 1)...]
        }
      }
    }
    do {
      for action in try session.commit() { action() }
      for tell in tell { tell(nil) }
    } catch {
      session.rollback()
      for tell in tell { tell(error) }
    }
    return []
  }
}
