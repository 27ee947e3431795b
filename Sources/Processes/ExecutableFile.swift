import CLinux
import Glibc

/// Writes a script that is run afterwards, by us or by a program of ours (`SSH_ASKPASS`, `ForceCommand`, `chassis_control`).
///
/// A file just written and closed can still be open for writing in a child that another thread has started and that has
/// not loaded its program yet; running it then fails with "Text file busy" (ETXTBSY, execve(2)). Here it cannot: no
/// child is between the two while the file is open. One of the name is replaced as a whole: who runs it goes on with
/// what it was. Waits, on a thread of its own, for as long as programs take to be loaded.
/// - Parameter mode: its permissions, whatever the umask.
/// - Throws: ``CommandError`` `.notStarted` of the script.
public func writeExecutable(_ text: String, to path: String, mode: mode_t = 0o700) async throws {
  try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
    startThread("write") {
      let bytes = Array(text.utf8), new = path + ".new"
      unlink(new)
      var failure = clinux_write_program(new, bytes, bytes.count, mode)
      if failure == 0, rename(new, path) != 0 { failure = errno }
      if failure == 0 { return continuation.resume() }
      unlink(new)
      continuation.resume(throwing: CommandError(program: path, reason: .notStarted(failure)))
    }
  }
}
