package manus_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"manus/app"
	"manus/config"
)

// The files under deploy are held against the program: what they set it takes, what
// they ask it answers, and what they give it time for it has time for.

// compose is deploy/compose.yaml as far as the tests look at it.
type compose struct {
	Services map[string]struct {
		Image           string
		Ports           []string
		Environment     map[string]string
		StopGracePeriod string `yaml:"stop_grace_period"`
		ReadOnly        bool   `yaml:"read_only"`
		Deploy          struct{ Replicas int }
	}
	Secrets map[string]struct{ File string }
}

// deployment is the container of deploy/kubernetes/deployment.yaml.
type deployment struct {
	Spec struct {
		Template struct {
			Spec struct {
				Grace      int `yaml:"terminationGracePeriodSeconds"`
				Containers []struct {
					Env []struct {
						Name, Value string
					}
					Ports []struct {
						Name          string
						ContainerPort int `yaml:"containerPort"`
					}
					StartupProbe   probe `yaml:"startupProbe"`
					LivenessProbe  probe `yaml:"livenessProbe"`
					ReadinessProbe probe `yaml:"readinessProbe"`
				}
			}
		}
	}
}

type probe struct {
	HTTPGet struct{ Path, Port string } `yaml:"httpGet"`
}

func read[T any](t *testing.T, path string) (v T) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err == nil {
		err = yaml.Unmarshal(text, &v)
	}
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return v
}

// secretsFolder is what make-secrets.sh writes.
func secretsFolder(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "secrets")
	for range 2 { // again, it leaves all as it is
		if out, err := exec.Command("deploy/make-secrets.sh", dir).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	return dir
}

// load reads settings as `manus serve` does in a container: from an env file, which
// may have no name in it that isn't a setting, with the secrets of dir.
func load(t *testing.T, variables map[string]string, dir, manusYAML string) config.Settings {
	t.Helper()
	var env strings.Builder
	for name, value := range variables {
		if name == "GOMEMLIMIT" { // Go's own
			continue
		}
		if strings.HasSuffix(name, "_FILE") {
			value = filepath.Join(dir, filepath.Base(value))
		}
		fmt.Fprintf(&env, "%s=%s\n", name, value)
	}
	envFile := filepath.Join(t.TempDir(), ".env")
	if err := os.WriteFile(envFile, []byte(env.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	settings, err := config.Load(config.Source{EnvFile: envFile, ConfigFile: manusYAML})
	if err != nil {
		t.Fatal(err)
	}
	if settings.MongoDB.Empty() || settings.Redis.Empty() || len(settings.TrustedProxies) == 0 {
		t.Error("copies need MongoDB, Redis, and to know their balancer")
	}
	return settings
}

func TestComposeFitsTheProgram(t *testing.T) {
	t.Parallel()
	c := read[compose](t, "deploy/compose.yaml")
	dir := secretsFolder(t)
	for name, service := range c.Services {
		if published := len(service.Ports) > 0; published != (name == "balancer") {
			t.Errorf("%s publishes %v", name, service.Ports)
		}
		if !service.ReadOnly {
			t.Errorf("%s can write to its own files", name)
		}
	}
	for name, secret := range c.Secrets {
		if name == "tls_certificate" { // the operator's, if there is one
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, filepath.Base(secret.File))); err != nil {
			t.Errorf("the secret %s isn't made: %v", name, err)
		}
	}
	if c.Services["mongo"].Image != "mongo:8" || c.Services["redis"].Image != "redis:7" || c.Services["manus"].Deploy.Replicas != 3 {
		t.Error("it isn't three copies on mongo:8 and redis:7")
	}
	manus := c.Services["manus"]
	byDefault := regexp.MustCompile(`\$\{[A-Z_]+:?-?([^}]*)\}`)
	for name, value := range manus.Environment {
		manus.Environment[name] = byDefault.ReplaceAllString(value, "$1")
	}
	settings := load(t, manus.Environment, dir, "deploy/settings/manus.yaml")
	grace, err := time.ParseDuration(manus.StopGracePeriod)
	if err != nil || grace <= settings.ShutdownDelay+settings.ShutdownTimeout {
		t.Errorf("it is killed after %v, and needs %v: %v", grace, settings.ShutdownDelay+settings.ShutdownTimeout, err)
	}
}

func TestKubernetesFitsTheProgram(t *testing.T) {
	t.Parallel()
	pod := read[deployment](t, "deploy/kubernetes/deployment.yaml").Spec.Template.Spec
	container := pod.Containers[0]
	variables := map[string]string{}
	for _, variable := range container.Env {
		variables[variable.Name] = variable.Value
	}
	settings := read[struct{ Data map[string]string }](t, "deploy/kubernetes/configmap.yaml").Data["manus.yaml"]
	manusYAML := filepath.Join(t.TempDir(), "manus.yaml")
	if err := os.WriteFile(manusYAML, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	s := load(t, variables, secretsFolder(t), manusYAML)
	if grace := time.Duration(pod.Grace) * time.Second; grace <= s.ShutdownDelay+s.ShutdownTimeout {
		t.Errorf("it is killed after %v, and needs %v", grace, s.ShutdownDelay+s.ShutdownTimeout)
	}
	for _, port := range container.Ports {
		at := map[string]string{"http": s.Addr, "ops": s.OpsAddr}[port.Name]
		if !strings.HasSuffix(at, fmt.Sprint(":", port.ContainerPort)) {
			t.Errorf("%s is %d, but the program listens on %q", port.Name, port.ContainerPort, at)
		}
	}
	service := read[struct {
		Spec struct {
			Ports []struct {
				TargetPort string `yaml:"targetPort"`
			}
		}
	}](t, "deploy/kubernetes/service.yaml")
	if ports := service.Spec.Ports; len(ports) != 1 || ports[0].TargetPort != "http" {
		t.Errorf("the service has %v", ports)
	}
	for _, p := range []struct {
		probe
		want string
	}{{container.StartupProbe, "/live"}, {container.LivenessProbe, "/live"}, {container.ReadinessProbe, "/ready"}} {
		if p.HTTPGet.Path != p.want || p.HTTPGet.Port != "http" {
			t.Errorf("a probe asks %s at %s, want %s", p.HTTPGet.Path, p.HTTPGet.Port, p.want)
		}
	}
	files := read[struct{ Resources []string }](t, "deploy/kubernetes/kustomization.yaml").Resources
	for _, name := range files {
		text, err := os.ReadFile(filepath.Join("deploy/kubernetes", name))
		if err != nil {
			t.Error(err)
		}
		for documents := yaml.NewDecoder(bytes.NewReader(text)); ; {
			var manifest struct{ Kind string }
			if err := documents.Decode(&manifest); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if manifest.Kind == "" {
				t.Errorf("%s has no kind", name)
			}
		}
	}
}

func TestWhatBalancersAndProbesAskIsAnswered(t *testing.T) {
	t.Parallel()
	settings, err := app.DevSettings(app.Dev{DataDir: filepath.Join(t.TempDir(), "data"), Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	a, err := app.New(t.Context(), app.Options{Settings: settings, Log: slog.New(slog.DiscardHandler)})
	if err == nil {
		err = a.Start(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	defer a.Stop(t.Context()) //nolint:errcheck // it is done with
	text, err := os.ReadFile("deploy/balancer/haproxy.cfg")
	if err != nil {
		t.Fatal(err)
	}
	checks := regexp.MustCompile(`http-check send meth GET uri (\S+)`).FindAllSubmatch(text, -1)
	if len(checks) != 2 {
		t.Errorf("the balancer asks %d times", len(checks))
	}
	for _, check := range checks {
		response, err := http.Get("http://" + a.Addr() + string(check[1])) //nolint:noctx // it has an end
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Errorf("%s is %s", check[1], response.Status)
		}
	}
}

func TestTheWorkflowChecksAgainstRealServers(t *testing.T) {
	t.Parallel()
	workflow := read[struct {
		Jobs map[string]struct {
			Env      map[string]string
			Services map[string]struct{ Image string }
			Steps    []struct{ With map[string]string }
		}
	}](t, ".github/workflows/check.yaml")
	services := workflow.Jobs["services"]
	if services.Services["mongo"].Image != "mongo:8" || services.Services["redis"].Image != "redis:7" {
		t.Errorf("its services are %v", services.Services)
	}
	for _, name := range []string{"MONGODB_TEST_URI", "REDIS_TEST_URL", "MANUS_TEST_STORE", "CI"} {
		if services.Env[name] == "" {
			t.Errorf("%s isn't set", name)
		}
	}
	for name, job := range workflow.Jobs {
		for _, step := range job.Steps {
			if file := step.With["go-version-file"]; file != "" {
				if _, err := os.Stat(file); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
	}
}
