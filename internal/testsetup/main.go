// Command testsetup sets a machine up for the tests: it installs the packages of the
// system whose programs tests start, and builds the others. It is fast where that has
// been done.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"manus/internal/testprogram"
)

func main() {
	if err := setUp(); err != nil {
		fmt.Fprintf(os.Stderr, "testsetup: %v\n", err)
		os.Exit(1)
	}
}

func setUp() error {
	if err := install(missingPackages()); err != nil {
		return err
	}
	programs := missingPrograms()
	if len(programs) > 0 {
		fmt.Printf("Building %d programs that tests start, which takes minutes, once.\n", len(programs))
	}
	for _, p := range programs {
		fmt.Printf("  %s, %s", p.Name, p.What)
		began := time.Now()
		if err := p.Make(); err != nil {
			fmt.Println()
			return err
		}
		fmt.Printf(": built in %v\n", time.Since(began).Round(time.Second))
	}
	return nil
}

// missingPackages are the names of those that have to be installed.
func missingPackages() (names []string) {
	for _, p := range testprogram.Packages {
		if _, err := p.Find(); err != nil {
			names = append(names, p.Name)
		}
	}
	return names
}

func missingPrograms() (programs []testprogram.Program) {
	for _, p := range testprogram.Programs {
		if _, err := p.Find(); err != nil {
			programs = append(programs, p)
		}
	}
	return programs
}

// install installs packages, or says how to.
func install(packages []string) error {
	if len(packages) == 0 {
		return nil
	}
	names := strings.Join(packages, " ")
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("tests start programs of Debian's packages %s, which aren't here: install them as this system does, then type the same again", names)
	}
	line := "apt-get update && apt-get install -y --no-install-recommends " + names
	if os.Geteuid() != 0 {
		return fmt.Errorf("tests start programs that aren't here. Type this line, then the same again:\n\n    sudo sh -c '%s'", line)
	}
	fmt.Printf("Installing %s, whose programs tests start:\n  %s\n", names, line)
	command := exec.Command("sh", "-c", line)
	command.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if out, err := command.CombinedOutput(); err != nil {
		return errors.Join(err, errors.New(string(out)))
	}
	return nil
}
