extension Migration {
  static let images = Migration(
    number: 5, name: "images",
    sql: """
      CREATE TABLE images (
        id TEXT PRIMARY KEY, name TEXT, owner TEXT NOT NULL, status TEXT NOT NULL CHECK (status IN ('queued','saving','active')),
        visibility TEXT NOT NULL CHECK (visibility IN ('public','community','shared','private')), disk_format TEXT,
        container_format TEXT, min_disk BIGINT NOT NULL, min_ram BIGINT NOT NULL, is_protected BIGINT NOT NULL,
        is_hidden BIGINT NOT NULL, size BIGINT, virtual_size BIGINT, md5 TEXT, sha256 TEXT, sha512 TEXT, upload_id TEXT,
        properties TEXT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL
      );
      CREATE INDEX images_owner ON images (owner);
      CREATE INDEX images_name ON images (name);
      CREATE TABLE image_tags (
        image_id TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE, tag TEXT NOT NULL, PRIMARY KEY (image_id, tag)
      );
      CREATE TABLE image_members (
        image_id TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE, project_id TEXT NOT NULL,
        status TEXT NOT NULL CHECK (status IN ('pending','accepted','rejected')), created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL, PRIMARY KEY (image_id, project_id)
      );
      CREATE INDEX image_members_project ON image_members (project_id);
      """)
}
