extension Migration {
  /// Images are staged (`uploading`), imported and deactivated: a check of a column is changed by a new table. The tables that
  /// refer to it come along, because dropping the old one would empty them. `image_tasks` has the imports.
  static let imageStates = Migration(
    number: 22, name: "image states",
    sql: """
      CREATE TABLE new_images (
        id TEXT PRIMARY KEY, name TEXT, owner TEXT NOT NULL,
        status TEXT NOT NULL CHECK (status IN ('queued','saving','uploading','importing','active','deactivated')),
        visibility TEXT NOT NULL CHECK (visibility IN ('public','community','shared','private')), disk_format TEXT,
        container_format TEXT, min_disk BIGINT NOT NULL, min_ram BIGINT NOT NULL, is_protected BIGINT NOT NULL,
        is_hidden BIGINT NOT NULL, size BIGINT, virtual_size BIGINT, md5 TEXT, sha256 TEXT, sha512 TEXT, upload_id TEXT,
        properties TEXT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL
      );
      INSERT INTO new_images (id, name, owner, status, visibility, disk_format, container_format, min_disk, min_ram, is_protected,
        is_hidden, size, virtual_size, md5, sha256, sha512, upload_id, properties, created_at, updated_at)
        SELECT id, name, owner, status, visibility, disk_format, container_format, min_disk, min_ram, is_protected,
          is_hidden, size, virtual_size, md5, sha256, sha512, upload_id, properties, created_at, updated_at FROM images;
      CREATE TABLE new_image_tags (
        image_id TEXT NOT NULL REFERENCES new_images (id) ON DELETE CASCADE, tag TEXT NOT NULL, PRIMARY KEY (image_id, tag)
      );
      INSERT INTO new_image_tags (image_id, tag) SELECT image_id, tag FROM image_tags;
      CREATE TABLE new_image_members (
        image_id TEXT NOT NULL REFERENCES new_images (id) ON DELETE CASCADE, project_id TEXT NOT NULL,
        status TEXT NOT NULL CHECK (status IN ('pending','accepted','rejected')), created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL, PRIMARY KEY (image_id, project_id)
      );
      INSERT INTO new_image_members (image_id, project_id, status, created_at, updated_at)
        SELECT image_id, project_id, status, created_at, updated_at FROM image_members;
      DROP TABLE image_tags;
      DROP TABLE image_members;
      DROP TABLE images;
      ALTER TABLE new_images RENAME TO images;
      ALTER TABLE new_image_tags RENAME TO image_tags;
      ALTER TABLE new_image_members RENAME TO image_members;
      CREATE INDEX images_owner ON images (owner);
      CREATE INDEX images_name ON images (name);
      CREATE INDEX image_members_project ON image_members (project_id);
      CREATE TABLE image_tasks (
        id TEXT PRIMARY KEY, image_id TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE, owner TEXT NOT NULL,
        user_id TEXT NOT NULL, request_id TEXT NOT NULL, method TEXT NOT NULL,
        status TEXT NOT NULL CHECK (status IN ('pending','processing','success','failure')), message TEXT NOT NULL,
        created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL
      );
      CREATE INDEX image_tasks_image ON image_tasks (image_id);
      CREATE INDEX image_tasks_owner ON image_tasks (owner);
      """)
}
