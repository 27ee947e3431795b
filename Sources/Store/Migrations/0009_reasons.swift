extension Migration {
  /// What only whoever runs a machine reads of its failures, beside the sentence for everyone. What was recorded before may
  /// name addresses, so it becomes such a detail.
  static let reasons = Migration(
    number: 9, name: "reasons",
    sql: """
      ALTER TABLE nodes ADD COLUMN last_error_detail TEXT;
      ALTER TABLE nodes ADD COLUMN maintenance_reason_detail TEXT;
      ALTER TABLE workflows ADD COLUMN error_sentence TEXT;
      UPDATE nodes SET last_error_detail = last_error,
        last_error = 'The last operation failed; ask the machine''s owner or the administrator, who see why.'
        WHERE last_error IS NOT NULL;
      UPDATE nodes SET maintenance_reason_detail = maintenance_reason,
        maintenance_reason = 'Ask the machine''s owner or the administrator, who see why.'
        WHERE maintenance_reason IS NOT NULL AND fault IS NOT NULL;
      """)
}
