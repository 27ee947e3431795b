import Glibc
import Processes

/// Removes a file that may be gone already.
func unlinkFile(_ path: String) { unlink(path) }

/// Removes a file, or a folder with all in it that is not hidden, that may be gone already. A symbolic link is removed and not
/// followed.
func removeTree(_ path: String) {
  if unlink(path) == 0 { return }
  for name in fileNames(in: path) { removeTree("\(path)/\(name)") }
  rmdir(path)
}
