package grouping

import (
	"strings"
	"testing"
)

func TestATextIsNormalised(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"", ""},
		{"nothing to change", "nothing to change"},
		{"  first line\nsecond 7", "first line"},
		{"two  spaces\tand a tab", "two spaces and a tab"},
		// Addresses.
		{"no account for alice@example.com.", "no account for <email>."},
		{"bounced: <bob+news@mail.example.org>", "bounced: <<email>>"},
		{"Get https://api.example.com/v1/users/42?x=(1): EOF", "Get <url>: EOF"},
		{`Get "https://api.example.com/v1": EOF`, "Get <quoted>: EOF"},
		{"(see http://localhost:8000/a)", "(see <url>)"},
		{"dial tcp 10.0.0.7:5432: connect: connection refused", "dial tcp <ip>:5432: connect: connection refused"},
		{"read tcp 10.0.0.7:48122->10.0.0.9:6379: reset", "read tcp <ip>:<n>-><ip>:6379: reset"},
		{"connect ECONNREFUSED ::1:5432", "connect ECONNREFUSED <ip>"},
		{"host fe80::1 is down", "host <ip> is down"},
		{"Foo::bar and std::vector stay", "Foo::bar and std::vector stay"},
		{"lookup mx0.example.com: no such host", "lookup mx<n>.example.com: no such host"},
		{"db-12.internal.example:5432 refused", "db-<n>.internal.example:<n> refused"},
		{"utf8.go and v1.Users.get and sha256.x..y and 7.example.com", "utf8.go and v1.Users.get and sha256.x..y and <n>.example.com"},
		{"libx1.1.so and Mx0.example.com and mx.example.com", "libx1.<n>.so and Mx0.example.com and mx.example.com"},
		{"a@b.c and a@b and a@b. and a@b.1 and @b.c", "<email> and a@b and a@b. and a@b.<n> and @b.c"},
		{"127.0.0.1:32767 and 127.0.0.1:32768", "<ip>:32767 and <ip>:<n>"},
		{"s://x", "<url>"},
		{strings.Repeat("s", 24) + "://x and " + strings.Repeat("s", 25) + "://x", "<url> and " + strings.Repeat("s", 25) + "://x"},
		// Ids.
		{"user 4e1b0c9e-8f5d-4f0a-9d0e-0a1b2c3d4e5f gone", "user <uuid> gone"},
		{"commit 3f2c1b9", "commit <n>"},
		{"key d41d8cd98f00b204e9800998ecf8427e", "key <n>"},
		{"at 0x7ffee4c0", "at <n>"},
		{"deadbeef is a word", "deadbeef is a word"},
		{"run 01ARZ3NDEKTSV4RRFFQ69G5FAV", "run <n>"},
		{"no customer cus_NffrFeUfNV2Hib", "no customer cus_<n>"},
		{"Http2ServerConnection closed", "Http2ServerConnection closed"},
		{"order_4711 of shop-12", "order_<n> of shop-<n>"},
		// Numbers.
		{"index 7 of 12", "index <n> of <n>"},
		{"-5 is less than +3.25", "<n> is less than <n>"},
		{"took 1.5s, then 300ms, then 1m30s", "took <n>, then <n>, then <n>"},
		{"1,234,567 rows", "<n> rows"},
		{"ids [1, 2, 3]", "ids [<n>]"},
		{"ids [1, 2, 3, 4]", "ids [<n>]"},
		{"utf8 and sha256 and ipv4 stay", "utf8 and sha256 and ipv4 stay"},
		{"10MB of 2GiB", "<n> of <n>"},
		// Codes.
		{"Request failed with status code 404", "Request failed with status code 404"},
		{"Request failed with status code 500", "Request failed with status code 500"},
		{"502 Bad Gateway", "502 Bad Gateway"},
		{"HTTP 503", "HTTP 503"},
		{"HTTP/1.1 404 Not Found", "HTTP/<n> 404 Not Found"},
		{"exit status 137", "exit status 137"},
		{"[Errno 111] Connection refused", "[Errno 111] Connection refused"},
		{"Error 1062 (23000): Duplicate entry", "Error 1062 (<n>): Duplicate entry"},
		{"ORA-00942: table or view does not exist", "ORA-00942: table or view does not exist"},
		{"error: 3 items", "error: <n> items"},
		{"404 items", "<n> items"},
		{"E11000 duplicate key", "E11000 duplicate key"},
		// Dates.
		{"at 2026-11-26T21:30:00.5Z", "at <date>"},
		{"at 2026-11-26T21:30:00+02:00", "at <date>"},
		{"at 2026/11/26", "at <date>"},
		{"at 2026-11-26", "at <date>"},
		{"at 2026-1z-26", "at <n>-1z-<n>"},
		{"at 2026-11-26 21:30:00", "at <date> <n>:<n>:<n>"},
		{"Thu, 26 Nov 2026 21:30", "<date>, <n> <date> <n> <n>:<n>"},
		{"Fri, 3 Dec 2027 01:02", "<date>, <n> <date> <n> <n>:<n>"},
		{"May I march on Sun", "May I march on Sun"},
		// Paths.
		{"open /tmp/upload_1/a.png: no such file", "open <path>: no such file"},
		{`cannot read C:\Users\Ann\x.txt`, "cannot read <path>"},
		{`cannot read \\server\share`, "cannot read <path>"},
		{"and/or 1/2", "and/or <n>/<n>"},
		{"stat:/var/x", "stat:<path>"},
		{"/.env /_x /@y / // ~/a ./b ../c C:/d C: C:\\", "<path> <path> <path> / // <path> <path> <path> <path> C: C:\\"},
		// Quotes.
		{"'NoneType' object has no attribute 'save'", "'NoneType' object has no attribute 'save'"},
		{"Cannot read properties of undefined (reading 'id')", "Cannot read properties of undefined (reading 'id')"},
		{`parsing "abc": invalid syntax`, "parsing <quoted>: invalid syntax"},
		{"no such key: 'user 42'", "no such key: <quoted>"},
		{"don't and can't", "don't and can't"},
		{"'x' `y` 'a_b' '' 'a 1'", "'x' `y` 'a_b' <quoted> <quoted>"},
		{`"` + strings.Repeat("q", 199) + `" "` + strings.Repeat("q", 200) + `"`, `<quoted> "` + strings.Repeat("q", 200) + `"`},
		{"0x1F 0xzz 0xg", "<n> 0xzz 0xg"},
		{strings.Repeat("é", maxText), strings.Repeat("é", maxText/2)},
		{`unclosed "quote`, `unclosed "quote`},
		{"لا يوجد حساب 42", "لا يوجد حساب <n>"},
	} {
		if got := normalise(c.text); got != c.want {
			t.Errorf("%q becomes\n\t%q, want\n\t%q", c.text, got, c.want)
		}
	}
}
