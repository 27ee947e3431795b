# json.awk   JSON to lines PATH=VALUE, the path joined by dots, list items by number: links.0.id=tap1
# Strings are unescaped (a newline becomes a space: one value, one line); \u escapes above 7F become "?".
# Numbers, true, false and null stay as they are written. Enough for what a config drive holds.
{ text = text $0 " " }
END { at = 1; value("") }

function blank() { while (index(" \t\r\n", substr(text, at, 1)) && at <= length(text)) at++ }
function join(path, name) { return path == "" ? name : path "." name }
function value(path,    first, rest) {
  blank(); first = substr(text, at, 1)
  if (first == "{") object(path)
  else if (first == "[") list(path)
  else if (first == "\"") print path "=" string()
  else if (match(substr(text, at, 64), /^[-+.0-9a-zA-Z]+/)) { print path "=" substr(text, at, RLENGTH); at += RLENGTH }
  else exit 1
}
function object(path,    name) {
  at++
  for (;;) {
    blank()
    if (substr(text, at, 1) == "}") { at++; return }
    if (substr(text, at, 1) == ",") { at++; blank() }
    if (substr(text, at, 1) != "\"") exit 1
    name = string(); blank()
    if (substr(text, at, 1) != ":") exit 1
    at++; value(join(path, name))
  }
}
function list(path,    number) {
  at++; number = 0
  for (;;) {
    blank()
    if (substr(text, at, 1) == "]") { at++; return }
    if (substr(text, at, 1) == ",") at++
    if (at > length(text)) exit 1
    value(join(path, number++))
  }
}
function string(    out, c) {
  at++; out = ""
  for (;;) {
    c = substr(text, at, 1); at++
    if (c == "") exit 1
    if (c == "\"") return out
    if (c != "\\") { out = out c; continue }
    c = substr(text, at, 1); at++
    if (c == "n" || c == "r" || c == "t" || c == "b" || c == "f") out = out " "
    else if (c == "u") { out = out unicode(substr(text, at, 4)); at += 4 }
    else out = out c
  }
}
function unicode(hex,    code, i) {
  code = 0
  for (i = 1; i <= 4; i++) code = code * 16 + index("0123456789abcdef", tolower(substr(hex, i, 1))) - 1
  return code < 128 ? sprintf("%c", code) : "?"
}
