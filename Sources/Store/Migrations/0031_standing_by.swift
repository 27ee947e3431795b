extension Migration {
  /// Machines whose agent waits for the next deployment (decision 0027). Whatever becomes of the node or its ports beside that ends the
  /// trust in it, in the same transaction: its secret is void, and the row stays until the machine was switched off.
  static let standingBy = Migration(
    number: 31, name: "standing by",
    sql: """
      ALTER TABLE agent_sessions ADD COLUMN stand_by_until BIGINT;
      CREATE INDEX agent_sessions_standing_by ON agent_sessions (node_uuid) WHERE stand_by_until IS NOT NULL;
      CREATE TRIGGER stand_by_ends_with_node AFTER UPDATE OF provision_state, maintenance, driver, driver_info, interfaces ON nodes
      WHEN (NEW.provision_state <> OLD.provision_state
        AND NEW.provision_state NOT IN ('available','cleaning','deploying','wait call-back'))
        OR (NEW.maintenance AND NOT OLD.maintenance) OR NEW.driver <> OLD.driver OR NEW.driver_info <> OLD.driver_info
        OR NEW.interfaces <> OLD.interfaces
      BEGIN
        UPDATE agent_sessions SET session_hash = NULL, boot_token = NULL, boot_token_hash = NULL
          WHERE node_uuid = NEW.uuid AND workflow = '' AND stand_by_until IS NOT NULL;
      END;
      CREATE TRIGGER stand_by_ends_with_new_port AFTER INSERT ON ports
      BEGIN
        UPDATE agent_sessions SET session_hash = NULL, boot_token = NULL, boot_token_hash = NULL
          WHERE node_uuid = NEW.node_uuid AND workflow = '' AND stand_by_until IS NOT NULL;
      END;
      CREATE TRIGGER stand_by_ends_with_old_port AFTER DELETE ON ports
      BEGIN
        UPDATE agent_sessions SET session_hash = NULL, boot_token = NULL, boot_token_hash = NULL
          WHERE node_uuid = OLD.node_uuid AND workflow = '' AND stand_by_until IS NOT NULL;
      END;
      CREATE TRIGGER stand_by_ends_with_port AFTER UPDATE OF node_uuid, address, switch_name, switch_port, is_pxe_enabled, wiring_problem
      ON ports
      WHEN NEW.node_uuid <> OLD.node_uuid OR NEW.address <> OLD.address OR NEW.is_pxe_enabled <> OLD.is_pxe_enabled
        OR COALESCE(NEW.switch_name, '') <> COALESCE(OLD.switch_name, '')
        OR COALESCE(NEW.switch_port, '') <> COALESCE(OLD.switch_port, '')
        OR (NEW.wiring_problem IS NOT NULL AND OLD.wiring_problem IS NULL)
      BEGIN
        UPDATE agent_sessions SET session_hash = NULL, boot_token = NULL, boot_token_hash = NULL
          WHERE node_uuid IN (OLD.node_uuid, NEW.node_uuid) AND workflow = '' AND stand_by_until IS NOT NULL;
      END;
      """)
}
