// Command alerts measures Manus's alerts on this machine: how long an event takes until a
// receiver has it, how many a receiver can get, and what a storm of events costs. Store,
// mail server and webhooks are real; the receivers are in this process, the alerts in
// another. It prints tables in Markdown; ../RESULTS.md keeps what was seen and when.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// roleEnv is set in the process that has the alerts.
const roleEnv = "MANUS_BENCH_ALERTS"

func main() {
	events := flag.Int("events", 100_000, "events of a storm")
	length := flag.Duration("length", 8*time.Second, "how long each rate is kept up")
	only := flag.String("only", "", "latency, throughput, frozen or storm; all by default")
	flag.Parse()
	if role := os.Getenv(roleEnv); role != "" {
		exit(play(role, *events, *length))
		return
	}
	fmt.Printf("%s, %d processors, receivers included.\n", runtime.Version(), runtime.NumCPU())
	for _, role := range []string{"latency", "throughput", "frozen", "storm"} {
		if *only == "" || *only == role {
			fmt.Println()
			exit(inProcess(role))
		}
	}
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "alerts:", err)
		os.Exit(1)
	}
}

// inProcess has a role played by a process of its own, whose memory is nobody else's.
func inProcess(role string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	receivers, err := startReceivers()
	if err != nil {
		return err
	}
	defer receivers.stop()
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Env = append(os.Environ(), roleEnv+"="+role, "MANUS_BENCH_RECEIVERS="+strings.Join(receivers.addresses, " "))
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}
