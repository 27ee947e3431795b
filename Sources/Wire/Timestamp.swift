/// A point in time, UTC, in whole microseconds since 1970-01-01T00:00:00Z.
///
/// The store keeps it as a BIGINT; each API spells it in its own way. Time is passed in: only `main`, the
/// conductor's clock and the drivers' timeouts read the system clock.
public struct Timestamp: Sendable, Hashable, Comparable {
  public var microseconds: Int

  public init(microseconds: Int) { self.microseconds = microseconds }
  public init(seconds: Int) { microseconds = seconds * 1_000_000 }

  public static func < (a: Timestamp, b: Timestamp) -> Bool { a.microseconds < b.microseconds }
  public static func + (a: Timestamp, b: Duration) -> Timestamp {
    Timestamp(microseconds: a.microseconds + b.wholeMicroseconds)
  }
  public static func - (a: Timestamp, b: Duration) -> Timestamp {
    Timestamp(microseconds: a.microseconds - b.wholeMicroseconds)
  }
  public static func - (a: Timestamp, b: Timestamp) -> Duration {
    .microseconds(a.microseconds - b.microseconds)
  }

  /// The end of an offer that has none: 9999-12-31T23:59:59.999999, as ESI-Leap writes it.
  public static let distantFuture = Timestamp(microseconds: 253_402_300_799_999_999)

  /// "2026-11-21T01:48:24.313783" without a zone; the fraction only when it is not zero. ESI-Leap and Neutron's base.
  public var iso8601: String { format(separator: "T", fraction: .whenNotZero) }
  /// "2026-11-21T01:48:24+00:00": Ironic, whole seconds or microseconds.
  public var iso8601WithOffset: String { format(separator: "T", fraction: .whenNotZero) + "+00:00" }
  /// "2026-11-21T01:48:24Z": Glance, Neutron and Nova, whole seconds.
  public var iso8601Zulu: String { format(separator: "T", fraction: .never) + "Z" }
  /// "2026-11-21T01:48:24.313783Z": Keystone, always six digits.
  public var iso8601ZuluMicroseconds: String { format(separator: "T", fraction: .always) + "Z" }
  /// "2026-11-21 01:48:24": Python's `str(datetime)`, which ESI-Leap's messages use.
  public var pythonText: String { format(separator: " ", fraction: .whenNotZero) }

  typealias CivilTime = (year: Int, month: Int, day: Int, hour: Int, minute: Int, second: Int)
  /// The calendar's view, and the microseconds beside it; nil outside the years 0 to 9999.
  var civil: (date: CivilTime, micros: Int)? {
    let (seconds, micros) = microseconds.flooredDivision(by: 1_000_000)
    let (days, secondOfDay) = seconds.flooredDivision(by: 86_400)
    let date = Self.civil(fromDays: days)
    guard (0...9999).contains(date.year) else { return nil }
    return ((date.year, date.month, date.day, secondOfDay / 3600, secondOfDay / 60 % 60, secondOfDay % 60), micros)
  }

  private enum Fraction { case never, always, whenNotZero }

  private func format(separator: Character, fraction: Fraction) -> String {
    let (seconds, micros) = microseconds.flooredDivision(by: 1_000_000)
    let (days, secondOfDay) = seconds.flooredDivision(by: 86_400)
    let date = Self.civil(fromDays: days)
    var text = "\(pad(date.year, 4))-\(pad(date.month, 2))-\(pad(date.day, 2))\(separator)"
    text += "\(pad(secondOfDay / 3600, 2)):\(pad(secondOfDay / 60 % 60, 2)):\(pad(secondOfDay % 60, 2))"
    if fraction == .always || (fraction == .whenNotZero && micros != 0) { text += ".\(pad(micros, 6))" }
    return text
  }

  /// Reads ISO 8601 as clients write it: `T` or a space, optional seconds and fraction, `Z`, an offset or no zone (UTC),
  /// or a date alone. Nil when it is none of these or not a real date.
  public init?(parsing text: String) {
    var rest = Array(text.utf8)[...]
    func digits(_ count: Int) -> Int? {
      guard rest.count >= count else { return nil }
      var value = 0
      for byte in rest.prefix(count) {
        guard byte >= 48 && byte <= 57 else { return nil }
        value = value * 10 + Int(byte - 48)
      }
      rest = rest.dropFirst(count)
      return value
    }
    func skip(_ characters: String) -> Bool {
      guard let first = rest.first, characters.utf8.contains(first) else { return false }
      rest = rest.dropFirst()
      return true
    }
    guard let year = digits(4), skip("-"), let month = digits(2), skip("-"), let day = digits(2) else { return nil }
    var hour = 0, minute = 0, second = 0, micros = 0, offset = 0
    if !rest.isEmpty {
      guard skip("T t"), let hours = digits(2), skip(":"), let minutes = digits(2) else { return nil }
      hour = hours
      minute = minutes
      if skip(":") {
        guard let seconds = digits(2) else { return nil }
        second = seconds
        if skip(".,") {
          var scale = 100_000
          var any = false
          while let digit = digits(1) {
            micros += digit * scale
            scale /= 10
            any = true
          }
          guard any else { return nil }
        }
      }
      if skip("Zz") {
      } else if let sign = rest.first, sign == UInt8(ascii: "+") || sign == UInt8(ascii: "-") {
        rest = rest.dropFirst()
        guard let hours = digits(2) else { return nil }
        _ = skip(":")
        guard let minutes = digits(2) else { return nil }
        offset = (hours * 60 + minutes) * (sign == UInt8(ascii: "-") ? -60 : 60)
      }
    }
    guard rest.isEmpty, (1...12).contains(month), day >= 1, day <= Self.daysInMonth(month, year),
      hour < 24, minute < 60, second < 60, year >= 1
    else { return nil }
    let days = Self.days(year: year, month: month, day: day)
    microseconds = ((days * 24 + hour) * 60 + minute) * 60_000_000 + (second - offset) * 1_000_000 + micros
  }

  private static func daysInMonth(_ month: Int, _ year: Int) -> Int {
    switch month {
    case 2: (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 ? 29 : 28
    case 4, 6, 9, 11: 30
    default: 31
    }
  }
  // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
  private static func days(year: Int, month: Int, day: Int) -> Int {
    let y = month <= 2 ? year - 1 : year
    let era = (y >= 0 ? y : y - 399) / 400
    let yearOfEra = y - era * 400
    let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
    let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
    return era * 146_097 + dayOfEra - 719_468
  }
  private static func civil(fromDays days: Int) -> (year: Int, month: Int, day: Int) {
    let z = days + 719_468
    let era = (z >= 0 ? z : z - 146_096) / 146_097
    let dayOfEra = z - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shifted = (5 * dayOfYear + 2) / 153
    let month = shifted < 10 ? shifted + 3 : shifted - 9
    return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shifted + 2) / 5 + 1)
  }
}

private func pad(_ value: Int, _ width: Int) -> String {
  let text = String(value)
  return text.count >= width ? text : String(repeating: "0", count: width - text.count) + text
}

extension Int {
  fileprivate func flooredDivision(by divisor: Int) -> (Int, Int) {
    let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
    return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
  }
}

extension Duration {
  /// Whole microseconds, cut towards zero.
  public var wholeMicroseconds: Int {
    Int(components.seconds) * 1_000_000 + Int(components.attoseconds / 1_000_000_000_000)
  }
  /// Seconds as a floating-point number.
  public var inSeconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }
}
