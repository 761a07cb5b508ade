// Run once by the image, while the volume is empty: the user that Manus signs in
// as. Backups are restored into scratch databases, which is why it may make others
// and drop them; MongoDB knows no right to databases of some names. It may neither
// see nor change users, nor configure the server.
db.getSiblingDB("manus").createUser({
  user: "manus",
  pwd: require("fs").readFileSync("/run/secrets/mongodb_password", "utf8").trim(),
  roles: [
    { role: "readWriteAnyDatabase", db: "admin" },
    { role: "dbAdminAnyDatabase", db: "admin" },
  ],
});
