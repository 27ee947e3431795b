import Glibc

/// The names in a folder but for the hidden ones, sorted; none when there is no such folder.
public func fileNames(in folder: String) -> [String] {
  allNames(in: folder).filter { !$0.hasPrefix(".") }.sorted()
}

/// Removes a file, or a folder with all in it, that may be gone already. A symbolic link is removed and not followed.
public func removeTree(_ path: String) {
  if unlink(path) == 0 { return }
  for name in allNames(in: path) where name != "." && name != ".." { removeTree("\(path)/\(name)") }
  rmdir(path)
}

private func allNames(in folder: String) -> [String] {
  guard let handle = opendir(folder) else { return [] }
  defer { closedir(handle) }
  var names: [String] = []
  while let entry = readdir(handle) {
    let name = withUnsafePointer(to: entry.pointee.d_name) {
      $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
    }
    names.append(name)
  }
  return names
}
