import Glibc

/// Removes a file that may be gone already.
func unlinkFile(_ path: String) { unlink(path) }
