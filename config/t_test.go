package config
import ("testing";"time";"strings";"fmt")
func TestT(t *testing.T){
	var keys strings.Builder
	for i := range 50_000 { fmt.Fprintf(&keys, "key-%d: 1\n", i) }
	for name, text := range map[string]string{
		"aliases": "plans:\n- &a {id: a, name: " + strings.Repeat("a", 400_000) + "}\n" + strings.Repeat("- *a\n", 100_000),
		"unknown keys":          keys.String(),
		"wrong plans":           "plans:\n" + strings.Repeat("- {}\n", 50_000),
	} { s:=time.Now(); _, p := parseFile([]byte(text)); t.Log(name, len(p), time.Since(s)); if len(p)>0 {t.Log(p[0])} }
}
