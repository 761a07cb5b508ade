// Run once by the image, while the volume is empty: the user that Manus signs in
// as, who may do as he likes in its database, and nothing elsewhere.
db.getSiblingDB("manus").createUser({
  user: "manus",
  pwd: require("fs").readFileSync("/run/secrets/mongodb_password", "utf8").trim(),
  roles: [{ role: "readWrite", db: "manus" }],
});
