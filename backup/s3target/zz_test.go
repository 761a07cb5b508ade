package s3target_test
import ("testing";"time";"fmt";"os";"strings";"runtime";"manus/internal/s3test";"manus/backup/targettest")
func TestZZ(t *testing.T) {
	server := s3test.Start(t)
	config := settings(server, server.Bucket(t)); config.PartSize = 0
	target := open(t, config)
	piece := targettest.Bytes(1, 1<<20)
	begun := time.Now()
	u, err := target.Create(t.Context(), "file", 1<<30)
	for range 1024 { if err == nil { _, err = u.Write(piece) } }
	if err == nil { err = u.Commit() }
	fmt.Println("1 GiB", time.Since(begun), err, u.Release())
	var m runtime.MemStats; runtime.ReadMemStats(&m)
	s, _ := os.ReadFile("/proc/self/status")
	for _, l := range strings.Split(string(s), "\n") { if strings.HasPrefix(l, "VmHWM") { fmt.Println(l) } }
	fmt.Println("heapsys MiB", m.HeapSys>>20)
	begun = time.Now()
	f, err := target.Open(t.Context(), "file")
	n := 0; buf := make([]byte, 1<<16)
	for err == nil { var k int; k, err = f.Read(buf); n += k }
	fmt.Println("read", n, time.Since(begun), err)
}
