import Glibc

struct FileFailure: Error {}

func makeFolder(_ path: String) throws { guard mkdir(path, 0o700) == 0 else { throw FileFailure() } }
func removeFile(_ path: String) throws { guard remove(path) == 0 else { throw FileFailure() } }
func writeText(_ text: String, to path: String) throws {
  guard let file = fopen(path, "w") else { throw FileFailure() }
  defer { fclose(file) }
  guard fputs(text, file) >= 0 else { throw FileFailure() }
}
