package manus_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io/fs"
	"maps"
	"math/big"
	"net/netip"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"manus/app"
	"manus/config"
	"manus/internal/testprogram"
)

// The tests of deploy/ hold its files against the program and against each other.
// What they can't do is run them: deploy/testdata/tryout does that, as far as it can
// be done without containers.

// compose is what the tests look at in deploy/compose.yaml.
type compose struct {
	Services map[string]service
	Networks map[string]struct {
		Internal bool
		IPAM     struct {
			Config []struct {
				Subnet  netip.Prefix
				Gateway netip.Addr
				Range   netip.Prefix `yaml:"ip_range"`
			}
		}
	}
	Volumes map[string]any
	Secrets map[string]struct{ File string }
}

type service struct {
	Image       string
	User        string
	Command     []string
	Restart     string
	Environment map[string]string
	Secrets     []string
	Volumes     []string
	Ports       []string
	Networks    networks
	NetworkMode string        `yaml:"network_mode"`
	ReadOnly    bool          `yaml:"read_only"`
	Privileged  bool          `yaml:"privileged"`
	CapDrop     []string      `yaml:"cap_drop"`
	CapAdd      []string      `yaml:"cap_add"`
	SecurityOpt []string      `yaml:"security_opt"`
	StopGrace   time.Duration `yaml:"stop_grace_period"`
	Logging     struct{ Options map[string]string }
	Deploy      struct {
		Replicas  int
		Resources struct{ Limits struct{ Memory string } }
	}
}

// networks are a service's, by name, with the fixed address if there is one. They
// are a list or a mapping in the file.
type networks map[string]string

func (n *networks) UnmarshalYAML(node *yaml.Node) error {
	*n = networks{}
	var names []string
	if node.Kind == yaml.SequenceNode {
		err := node.Decode(&names)
		for _, name := range names {
			(*n)[name] = ""
		}
		return err
	}
	var fixed map[string]struct {
		Address string `yaml:"ipv4_address"`
	}
	err := node.Decode(&fixed)
	for name, f := range fixed {
		(*n)[name] = f.Address
	}
	return err
}

// readYAML decodes a file, after change if there is one.
func readYAML[T any](t *testing.T, file string, change func(string) string) (out T) {
	t.Helper()
	text := readText(t, file)
	if change != nil {
		text = change(text)
	}
	if err := yaml.Unmarshal([]byte(text), &out); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return out
}

func readText(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// readCompose is deploy/compose.yaml as compose takes it where nothing is set.
func readCompose(t *testing.T) compose {
	t.Helper()
	return readYAML[compose](t, "deploy/compose.yaml", func(text string) string {
		text = regexp.MustCompile(`\$\{\w+(:[-+])([^}]*)\}`).ReplaceAllStringFunc(text, func(variable string) string {
			if _, fallback, ok := strings.Cut(strings.TrimSuffix(variable, "}"), ":-"); ok {
				return fallback
			}
			return "" // :+ is for what is set
		})
		if left := regexp.MustCompile(`[^$]\$[\w{]`).FindString(text); left != "" {
			t.Errorf("compose.yaml has a variable without a default: %s", left)
		}
		return strings.ReplaceAll(text, "$$", "$")
	})
}

// makeSecrets runs make-secrets.sh, as operators do.
func makeSecrets(t *testing.T, dir string) {
	t.Helper()
	if out, err := exec.Command("deploy/make-secrets.sh", dir).CombinedOutput(); err != nil {
		t.Fatalf("make-secrets.sh: %v\n%s", err, out)
	}
}

// load gives the program the variables of a container, whose files are others here.
// They go through an env file, where a name that is no setting is a problem.
func load(t *testing.T, environment map[string]string, configFile string, here func(string) string) config.Settings {
	t.Helper()
	var lines []string
	for name, value := range environment {
		if value == "" || slices.Contains([]string{"GOMEMLIMIT", "GOGC", "GOMAXPROCS", "GODEBUG"}, name) { // Go's own
			continue
		}
		if strings.HasSuffix(name, "_FILE") {
			value = here(value)
		}
		lines = append(lines, name+"='"+value+"'\n")
	}
	file := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	settings, err := config.Load(config.Source{EnvFile: file, ConfigFile: configFile, Routes: app.Routes()})
	if err != nil {
		t.Fatalf("manus would not start: %v", err)
	}
	return settings
}

// flag is the value of a flag in a command, which has to be one of 'serve'.
func flag(t *testing.T, command []string, name string) string {
	t.Helper()
	at := slices.Index(command, name)
	if len(command) == 0 || command[0] != "serve" || at < 0 || at+1 == len(command) {
		t.Fatalf("%v isn't 'serve' with %s", command, name)
	}
	return command[at+1]
}

// wantRoute reports a path that nothing answers.
func wantRoute(t *testing.T, path string) {
	t.Helper()
	if !slices.Contains(app.Routes().Patterns, "GET "+path) {
		t.Errorf("no route is at %s", path)
	}
}

// composeSettings are the settings that the copies of compose.yaml start with.
func composeSettings(t *testing.T, c compose) config.Settings {
	t.Helper()
	secrets := t.TempDir()
	makeSecrets(t, secrets)
	copies := c.Services["manus"]
	file := flag(t, copies.Command, "--config")
	for _, volume := range copies.Volumes {
		from, to, _ := strings.Cut(strings.TrimSuffix(volume, ":ro"), ":")
		if rest, ok := strings.CutPrefix(file, to+"/"); ok {
			file = filepath.Join("deploy", from, rest)
		}
	}
	return load(t, copies.Environment, file, func(name string) string {
		secret, ok := strings.CutPrefix(name, "/run/secrets/")
		if !ok || !slices.Contains(copies.Secrets, secret) {
			t.Errorf("manus is told to read %s, which isn't among its secrets", name)
		}
		return filepath.Join(secrets, filepath.Base(c.Secrets[secret].File))
	})
}

func TestTheCopiesOfComposeStart(t *testing.T) {
	t.Parallel()
	c := readCompose(t)
	s := composeSettings(t, c)
	copies := c.Services["manus"]
	if copies.Deploy.Replicas < 3 {
		t.Errorf("there are %d copies", copies.Deploy.Replicas)
	}
	if least := s.ShutdownDelay + s.ShutdownTimeout; copies.StopGrace < least+5*time.Second || copies.StopGrace < 25*time.Second {
		t.Errorf("copies get %v to stop, but take up to %v", copies.StopGrace, least)
	}
	if s.MongoDB.Empty() || s.Redis.Empty() || s.DataDir != "" {
		t.Error("the copies have no store or no Redis in common")
	}
	if !strings.HasPrefix(s.OpsAddr, "127.0.0.1:") {
		t.Errorf("metrics and profiles are at %s", s.OpsAddr)
	}
	for url, host := range map[string]string{s.MongoDB.Reveal(): "mongo", s.Redis.Reveal(): "redis"} {
		if !strings.Contains(url, "@"+host+":") || c.Services[host].Image == "" {
			t.Errorf("a secret names another host than %s", host)
		}
	}
	balancer := c.Services["balancer"].Networks["front"]
	if len(s.TrustedProxies) != 1 || s.TrustedProxies[0].String() != balancer+"/32" {
		t.Errorf("the balancer is at %s, but %v are believed", balancer, s.TrustedProxies)
	}
	if !slices.Contains(s.Limits.Allow, balancer+"/32") {
		t.Errorf("the balancer's checks are limited: only %v are not", s.Limits.Allow)
	}
}

func TestComposeMakesBackups(t *testing.T) {
	t.Parallel()
	c := readCompose(t)
	dir := composeSettings(t, c).Backup.Dir
	volume := ""
	for _, mounted := range c.Services["manus"].Volumes {
		if from, to, _ := strings.Cut(mounted, ":"); to == dir {
			volume = from
		}
	}
	if _, ok := c.Volumes[volume]; !ok {
		t.Errorf("backups go to %q, which is the volume %q", dir, volume)
	}
	// A new volume belongs to whom the image's folder belongs to.
	dockerfile := readText(t, "deploy/Dockerfile")
	user := regexp.MustCompile(`(?m)^USER (\S+)$`).FindStringSubmatch(dockerfile)
	if user == nil || !regexp.MustCompile(`(?m)^COPY .*--chown=`+user[1]+` \S+ `+regexp.QuoteMeta(dir)+`$`).MatchString(dockerfile) {
		t.Errorf("the image has no %s of the user %v", dir, user)
	}
	for _, role := range []string{"readWriteAnyDatabase", "dbAdminAnyDatabase"} { // docs/backup.md, Rights
		if !strings.Contains(readText(t, "deploy/mongo/manus-user.js"), `"`+role+`"`) {
			t.Errorf("the user of MongoDB hasn't the role %s, which drills need", role)
		}
	}
}

func TestComposeShowsNothingButTheBalancer(t *testing.T) {
	t.Parallel()
	c := readCompose(t)
	for name, s := range c.Services {
		if (len(s.Ports) > 0) != (name == "balancer") || s.NetworkMode != "" {
			t.Errorf("%s publishes %v, network mode %q", name, s.Ports, s.NetworkMode)
		}
		want := map[string][]string{"balancer": {"front"}, "manus": {"back", "front"}}[name]
		if want == nil {
			want = []string{"back"}
		}
		if got := slices.Sorted(maps.Keys(s.Networks)); !slices.Equal(got, want) {
			t.Errorf("%s is in %v, want %v", name, got, want)
		}
		for network := range s.Networks {
			if _, ok := c.Networks[network]; !ok {
				t.Errorf("%s is in %s, which doesn't exist", name, network)
			}
		}
	}
	if !c.Networks["back"].Internal {
		t.Error("the stores have a way out")
	}
	front := c.Networks["front"].IPAM.Config[0]
	address := netip.MustParseAddr(c.Services["balancer"].Networks["front"])
	if !front.Subnet.Contains(address) || front.Range.Contains(address) || front.Gateway == address {
		t.Errorf("the balancer's %v may be given to another container: %+v", address, front)
	}
	if !strings.HasPrefix(c.Services["balancer"].Ports[0], "127.0.0.1:") {
		t.Error("plain HTTP is published to everybody where nothing is set")
	}
}

func TestContainersOfComposeMayDoLittle(t *testing.T) {
	t.Parallel()
	c := readCompose(t)
	for name, s := range c.Services {
		if !s.ReadOnly || s.Privileged || !slices.Equal(s.CapDrop, []string{"ALL"}) || len(s.CapAdd) > 0 || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s may do more than it has to", name)
		}
		if s.Restart != "unless-stopped" || s.Logging.Options["max-size"] == "" || s.Logging.Options["max-file"] == "" || s.Deploy.Resources.Limits.Memory == "" {
			t.Errorf("%s isn't started again, or its log or memory isn't bounded", name)
		}
		for _, secret := range s.Secrets {
			if _, ok := c.Secrets[secret]; !ok {
				t.Errorf("%s has the secret %s, which doesn't exist", name, secret)
			}
		}
		for _, volume := range s.Volumes {
			from, _, _ := strings.Cut(volume, ":")
			if _, ok := c.Volumes[from]; ok {
				continue
			}
			if _, err := os.Stat(filepath.Join("deploy", from)); err != nil || !strings.HasSuffix(volume, ":ro") {
				t.Errorf("%s mounts %s: it isn't there, or not read-only (%v)", name, volume, err)
			}
		}
	}
	for name, image := range map[string]string{"mongo": "mongo:8", "redis": "redis:7"} {
		if got := c.Services[name].Image; got != image {
			t.Errorf("%s is %s, want %s", name, got, image)
		}
	}
	if command := strings.Join(c.Services["redis"].Command, " "); !strings.Contains(command, "--maxmemory-policy noeviction") {
		t.Errorf("Redis may forget counts: %s", command)
	}
}

func TestSecretsAreMadeOnce(t *testing.T) {
	t.Parallel()
	c := readCompose(t)
	dir := filepath.Join(t.TempDir(), "secrets")
	makeSecrets(t, dir)
	first := files(t, dir)
	for name, secret := range c.Secrets {
		if text, ok := first[filepath.Base(secret.File)]; strings.HasPrefix(secret.File, "secrets/") && (!ok || len(text) < 32) {
			t.Errorf("%s isn't made: %d characters", name, len(text))
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("others may enter the folder: %v, %v", info.Mode(), err)
	}
	makeSecrets(t, dir)
	if !maps.Equal(first, files(t, dir)) {
		t.Error("the second run changed something")
	}
	if err := os.Remove(filepath.Join(dir, "mongodb_uri")); err != nil {
		t.Fatal(err)
	}
	makeSecrets(t, dir)
	if !maps.Equal(first, files(t, dir)) {
		t.Error("a file that was missing isn't made of those it belongs to")
	}
	other := filepath.Join(t.TempDir(), "secrets")
	makeSecrets(t, other)
	for name, text := range files(t, other) {
		if text == first[name] {
			t.Errorf("%s is the same for everybody", name)
		}
	}
}

// files are the contents of a folder's files.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			all[entry.Name()] = readText(t, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// balancerConfig is haproxy.cfg as lines of words, without comments.
func balancerConfig(t *testing.T) (lines [][]string) {
	t.Helper()
	for line := range strings.Lines(readText(t, "deploy/balancer/haproxy.cfg")) {
		line, _, _ = strings.Cut(line, "#")
		if words := strings.Fields(line); len(words) > 0 {
			lines = append(lines, words)
		}
	}
	return lines
}

// after is the word that follows another one; empty if there is none.
func after(words []string, word string) string {
	if at := slices.Index(words, word); at >= 0 && at+1 < len(words) {
		return words[at+1]
	}
	return ""
}

func TestTheBalancerFitsTheProgram(t *testing.T) {
	t.Parallel()
	c := readCompose(t)
	s := composeSettings(t, c)
	asked, checked := map[string]bool{}, false
	for _, line := range balancerConfig(t) {
		switch rule := strings.Join(line[:min(2, len(line))], " "); {
		case rule == "http-check send":
			asked[after(line, "uri")] = true
			wantRoute(t, after(line, "uri"))
		case rule == "retry-on conn-failure":
			checked = len(line) == 2
		case line[0] == "retry-on", rule == "option http-buffer-request", line[0] == "compression":
			t.Errorf("requests may be sent twice, or answers held up: %v", line)
		case rule == "timeout client", rule == "timeout server":
			if d, err := time.ParseDuration(line[2]); err != nil || d < 60*time.Second { // four heartbeats
				t.Errorf("silence ends a stream: %v", line)
			}
		case rule == "default-server check" && asked["/ready"] && !asked["/live"]:
			every, err := time.ParseDuration(after(line, "inter"))
			if fall := after(line, "fall"); err != nil || fall != "2" || 2*every+time.Second > s.ShutdownDelay {
				t.Errorf("a copy stops %v after it says so, but the balancer asks only every %v (%v)", s.ShutdownDelay, every, err)
			}
		case line[0] == "server-template":
			if _, port, _ := strings.Cut(s.Addr, ":"); line[3] != `"${COPIES-manus:`+port+`}"` {
				t.Errorf("the copies listen on %s, the balancer looks at %s", s.Addr, line[3])
			}
		}
	}
	if !asked["/ready"] || !asked["/live"] || !checked {
		t.Errorf("the balancer asks for %v; retries are as they should be: %v", asked, checked)
	}
}

func TestHAProxyTakesItsFile(t *testing.T) {
	t.Parallel()
	for _, environment := range [][]string{nil, {"TLS_CERTIFICATE=" + certificate(t), "COPIES=127.0.0.1:1"}, {"UPSTREAM=10.0.0.0/8", "COPIES=127.0.0.1:1"}} {
		check := exec.Command(testprogram.HAProxy.Path(), "-c", "-f", "deploy/balancer/haproxy.cfg")
		check.Env = environment
		if out, err := check.CombinedOutput(); err != nil || warns(string(out)) {
			t.Errorf("%v: %v\n%s", environment, err, out)
		}
	}
}

// warns tells whether HAProxy warned of anything but that the copies' name isn't known
// here: it is known in the stack's own network alone.
func warns(out string) bool {
	for line := range strings.Lines(out) {
		if strings.Contains(line, "WARNING") && !strings.Contains(line, "could not resolve address 'manus'") {
			return true
		}
	}
	return false
}

// certificate makes a file as TLS_CERTIFICATE names it.
func certificate(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"app.example.com"}, NotAfter: time.Now().Add(time.Hour)}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed})
	text = append(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
	file := filepath.Join(t.TempDir(), "tls.pem")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestEveryScriptIsSound(t *testing.T) {
	t.Parallel()
	scripts := []string{".ci/run"}
	for _, folder := range []string{"deploy", "scripts"} {
		found, err := filepath.Glob(folder + "/*.sh")
		if err != nil || len(found) != 2 {
			t.Fatalf("there are %v, %v", found, err)
		}
		scripts = append(scripts, found...)
	}
	for _, script := range scripts {
		if info, err := os.Stat(script); err != nil || info.Mode().Perm()&0o111 == 0 {
			t.Errorf("%s can't be run: %v", script, err)
		}
		for _, command := range [][]string{{"sh", "-n", script}, {"shellcheck", script}} {
			if _, err := exec.LookPath(command[0]); err != nil {
				continue // the other one is everywhere
			}
			if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
				t.Errorf("%v: %v\n%s", command, err, out)
			}
		}
	}
}

func TestTheImageIsBuiltAsMakeDoes(t *testing.T) {
	t.Parallel()
	stamp := regexp.MustCompile(`-X (main\.\w+)=`)
	stamps := func(text string) (names []string) {
		for _, found := range stamp.FindAllStringSubmatch(text, -1) {
			names = append(names, found[1])
		}
		return names
	}
	dockerfile := readText(t, "deploy/Dockerfile")
	if made, built := stamps(readText(t, "Makefile")), stamps(dockerfile); len(made) == 0 || !slices.Equal(made, built) {
		t.Errorf("make stamps %v, the image %v", made, built)
	}
	module := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(readText(t, "go.mod"))
	if !strings.Contains(dockerfile, "golang:"+module[1]+" ") {
		t.Errorf("the image isn't built with Go %s", module[1])
	}
	arguments := map[string]bool{}
	for _, found := range regexp.MustCompile(`(?m)^ARG (\w+)`).FindAllStringSubmatch(dockerfile, -1) {
		arguments[found[1]] = true
	}
	c := readYAML[struct {
		Services map[string]struct {
			Build struct {
				Context, Dockerfile string
				Args                map[string]string
			}
		}
	}](t, "deploy/compose.yaml", nil)
	build := c.Services["manus"].Build
	if _, err := os.Stat(filepath.Join("deploy", build.Context, build.Dockerfile)); err != nil {
		t.Error(err)
	}
	for name := range build.Args {
		if !arguments[name] {
			t.Errorf("compose gives the build %s, which it doesn't know", name)
		}
	}
}

// manifest is one file of deploy/kubernetes.
type manifest struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Metadata   struct {
		Name, Namespace string
		Labels          map[string]string
	}
	Spec yaml.Node
	Data map[string]string
}

// manifests are those that the kustomization lists, by kind.
func manifests(t *testing.T) map[string]manifest {
	t.Helper()
	const dir = "deploy/kubernetes"
	list := readYAML[struct {
		Namespace string
		Resources []string
	}](t, dir+"/kustomization.yaml", nil)
	found, err := filepath.Glob(dir + "/*.yaml")
	if err != nil || len(found) != len(list.Resources)+1 {
		t.Errorf("the kustomization lists %v, there are %v", list.Resources, found)
	}
	all := map[string]manifest{}
	for _, name := range list.Resources {
		m := readYAML[manifest](t, filepath.Join(dir, name), nil)
		if m.APIVersion == "" || m.Metadata.Name != "manus" || m.Metadata.Namespace != list.Namespace && m.Kind != "Namespace" {
			t.Errorf("%s: %s %+v", name, m.APIVersion, m.Metadata)
		}
		all[m.Kind] = m
	}
	return all
}

func specOf[T any](t *testing.T, m manifest) (out T) {
	t.Helper()
	if err := m.Spec.Decode(&out); err != nil {
		t.Fatalf("%s: %v", m.Kind, err)
	}
	return out
}

type selector struct {
	MatchLabels map[string]string `yaml:"matchLabels"`
}

type probe struct {
	HTTPGet          struct{ Path, Port string } `yaml:"httpGet"`
	PeriodSeconds    int                         `yaml:"periodSeconds"`
	FailureThreshold int                         `yaml:"failureThreshold"`
	TimeoutSeconds   int                         `yaml:"timeoutSeconds"`
}

type deployment struct {
	Selector selector
	Strategy struct {
		RollingUpdate struct {
			MaxUnavailable int `yaml:"maxUnavailable"`
			MaxSurge       int `yaml:"maxSurge"`
		} `yaml:"rollingUpdate"`
	}
	Template struct {
		Metadata struct{ Labels map[string]string }
		Spec     struct {
			Grace      int            `yaml:"terminationGracePeriodSeconds"`
			Token      *bool          `yaml:"automountServiceAccountToken"`
			Security   map[string]any `yaml:"securityContext"`
			Containers []container
			Volumes    []struct {
				Name      string
				ConfigMap struct{ Name string } `yaml:"configMap"`
				Secret    struct {
					Name string `yaml:"secretName"`
				}
			}
			Spread []struct {
				LabelSelector selector `yaml:"labelSelector"`
			} `yaml:"topologySpreadConstraints"`
		}
	}
}

type container struct {
	Name, Image string
	Args        []string
	Ports       []struct {
		Name          string
		ContainerPort int `yaml:"containerPort"`
	}
	Env []struct {
		Name, Value string
		ValueFrom   struct {
			Resource struct {
				ContainerName, Resource string
			} `yaml:"resourceFieldRef"`
		} `yaml:"valueFrom"`
	}
	Resources struct{ Limits map[string]string }
	Startup   probe `yaml:"startupProbe"`
	Liveness  probe `yaml:"livenessProbe"`
	Readiness probe `yaml:"readinessProbe"`
	Security  struct {
		Escalation   *bool `yaml:"allowPrivilegeEscalation"`
		ReadOnly     bool  `yaml:"readOnlyRootFilesystem"`
		Capabilities struct{ Drop []string }
	} `yaml:"securityContext"`
	Mounts []struct {
		Name      string
		MountPath string `yaml:"mountPath"`
		ReadOnly  bool   `yaml:"readOnly"`
	} `yaml:"volumeMounts"`
}

// port is the number of a container's named port.
func (c container) port(name string) int {
	for _, p := range c.Ports {
		if p.Name == name {
			return p.ContainerPort
		}
	}
	return 0
}

// mount is the name of the volume that a file in the container is in.
func (c container) mount(file string) string {
	for _, m := range c.Mounts {
		if m.MountPath == path.Dir(file) && m.ReadOnly {
			return m.Name
		}
	}
	return ""
}

func TestThePodsOfKubernetesStart(t *testing.T) {
	t.Parallel()
	all := manifests(t)
	d := specOf[deployment](t, all["Deployment"])
	pod := d.Template.Spec
	c := pod.Containers[0]

	secrets := t.TempDir()
	makeSecrets(t, secrets)
	environment, read := map[string]string{}, map[string]bool{}
	for _, e := range c.Env {
		environment[e.Name] = e.Value
		if e.Name == "GOMEMLIMIT" && (e.ValueFrom.Resource.Resource != "limits.memory" || c.Resources.Limits["memory"] == "") {
			t.Errorf("GOMEMLIMIT isn't the memory's limit: %+v", e)
		}
	}
	file := flag(t, c.Args, "--config")
	text, ok := all["ConfigMap"].Data[path.Base(file)]
	if !ok || c.mount(file) != "settings" {
		t.Errorf("%s isn't in the ConfigMap, or not mounted", file)
	}
	local := filepath.Join(t.TempDir(), "manus.yaml")
	if err := os.WriteFile(local, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := load(t, environment, local, func(name string) string {
		if c.mount(name) != "secrets" {
			t.Errorf("%s isn't in a volume", name)
		}
		read[path.Base(name)] = true
		return filepath.Join(secrets, path.Base(name))
	})
	for _, volume := range pod.Volumes {
		if (volume.Name == "settings") != (volume.ConfigMap.Name == all["ConfigMap"].Metadata.Name) || (volume.Name == "secrets") != (volume.Secret.Name == "manus") {
			t.Errorf("the volume %+v is of nothing that is made here", volume)
		}
	}
	wantSecretInGuide(t, read)

	grace := time.Duration(pod.Grace) * time.Second
	if grace < s.ShutdownDelay+s.ShutdownTimeout+5*time.Second || s.ShutdownDelay < 5*time.Second {
		t.Errorf("pods get %v to stop, of which %v for proxies to notice and %v for requests", grace, s.ShutdownDelay, s.ShutdownTimeout)
	}
	if s.MongoDB.Empty() || s.Redis.Empty() || slices.Contains(s.ReadyCritical, "redis") {
		t.Errorf("the pods have no store or no Redis in common, or end with Redis: %v", s.ReadyCritical)
	}
	for name, addr := range map[string]string{"http": s.Addr, "ops": s.OpsAddr} {
		if addr != fmt.Sprintf(":%d", c.port(name)) {
			t.Errorf("manus listens on %s, the port %s is %d", addr, name, c.port(name))
		}
	}
}

// wantSecretInGuide compares the files that pods read with the command that the
// guide gives for making them.
func wantSecretInGuide(t *testing.T, read map[string]bool) {
	t.Helper()
	made := map[string]bool{}
	for _, found := range regexp.MustCompile(`--from-(?:file|literal)=(\w+)=`).FindAllStringSubmatch(readText(t, "deploy/README.md"), -1) {
		made[found[1]] = true
	}
	if !maps.Equal(read, made) {
		t.Errorf("pods read %v, the guide makes %v", read, made)
	}
}

func TestKubernetesAsksWhatAnswers(t *testing.T) {
	t.Parallel()
	c := specOf[deployment](t, manifests(t)["Deployment"]).Template.Spec.Containers[0]
	for want, p := range map[string][]probe{"/live": {c.Startup, c.Liveness}, "/ready": {c.Readiness}} {
		wantRoute(t, want)
		for _, p := range p {
			if p.HTTPGet.Path != want || p.HTTPGet.Port != "http" || p.PeriodSeconds == 0 || p.TimeoutSeconds == 0 {
				t.Errorf("want a probe of %s, got %+v", want, p)
			}
		}
	}
	if c.Readiness.FailureThreshold > 2 || c.Readiness.PeriodSeconds > 2 {
		t.Errorf("a pod that isn't ready stays for %d × %d s", c.Readiness.FailureThreshold, c.Readiness.PeriodSeconds)
	}
	if c.Readiness.TimeoutSeconds < 3 { // a dependency has two to answer
		t.Errorf("the answer of /ready isn't waited for: %d s", c.Readiness.TimeoutSeconds)
	}
}

func TestPodsOfKubernetesMayDoLittle(t *testing.T) {
	t.Parallel()
	all := manifests(t)
	pod := specOf[deployment](t, all["Deployment"]).Template.Spec
	c := pod.Containers[0]
	if c.Security.Escalation == nil || *c.Security.Escalation || !c.Security.ReadOnly || !slices.Equal(c.Security.Capabilities.Drop, []string{"ALL"}) ||
		pod.Security["runAsNonRoot"] != true || pod.Token == nil || *pod.Token {
		t.Errorf("pods may do more than they have to: %+v %+v", pod.Security, c.Security)
	}
	if user := fmt.Sprintf("USER %v:%v", pod.Security["runAsUser"], pod.Security["runAsGroup"]); !strings.Contains(readText(t, "deploy/Dockerfile"), user+"\n") {
		t.Errorf("the image has no %s", user)
	}
	if all["Namespace"].Metadata.Labels["pod-security.kubernetes.io/enforce"] != "restricted" {
		t.Error("the namespace allows more")
	}
}

func TestTheManifestsAreAboutTheSamePods(t *testing.T) {
	t.Parallel()
	all := manifests(t)
	d := specOf[deployment](t, all["Deployment"])
	labels := d.Template.Metadata.Labels
	same := func(of string, selected map[string]string) {
		t.Helper()
		if len(labels) == 0 || !maps.Equal(selected, labels) {
			t.Errorf("%s selects %v, pods have %v", of, selected, labels)
		}
	}
	same("the Deployment", d.Selector.MatchLabels)
	for _, spread := range d.Template.Spec.Spread {
		same("a spread", spread.LabelSelector.MatchLabels)
	}
	if len(d.Template.Spec.Spread) == 0 || d.Strategy.RollingUpdate.MaxUnavailable != 0 || d.Strategy.RollingUpdate.MaxSurge == 0 {
		t.Errorf("copies may be on one node, or fewer during an update: %+v", d.Strategy)
	}

	svc := specOf[struct {
		Selector map[string]string
		Ports    []struct {
			TargetPort string `yaml:"targetPort"`
		}
	}](t, all["Service"])
	same("the Service", svc.Selector)
	if len(svc.Ports) != 1 || svc.Ports[0].TargetPort != "http" {
		t.Errorf("the Service shows %+v", svc.Ports)
	}

	budget := specOf[struct{ Selector selector }](t, all["PodDisruptionBudget"])
	same("the PodDisruptionBudget", budget.Selector.MatchLabels)

	scaler := specOf[struct {
		Target struct{ Kind, Name string } `yaml:"scaleTargetRef"`
		Min    int                         `yaml:"minReplicas"`
		Max    int                         `yaml:"maxReplicas"`
	}](t, all["HorizontalPodAutoscaler"])
	if scaler.Target.Kind != "Deployment" || scaler.Target.Name != all["Deployment"].Metadata.Name || scaler.Min < 3 || scaler.Max < scaler.Min {
		t.Errorf("the HorizontalPodAutoscaler: %+v", scaler)
	}

	policy := specOf[struct {
		PodSelector selector `yaml:"podSelector"`
		Ingress     []struct {
			From []struct {
				Namespace selector `yaml:"namespaceSelector"`
			}
			Ports []struct{ Port string }
		}
	}](t, all["NetworkPolicy"])
	same("the NetworkPolicy", policy.PodSelector.MatchLabels)
	for _, rule := range policy.Ingress {
		for _, p := range rule.Ports {
			if p.Port != "http" && (len(rule.From) != 1 || rule.From[0].Namespace.MatchLabels["kubernetes.io/metadata.name"] != "monitoring") {
				t.Errorf("metrics and profiles are open to %+v", rule.From)
			}
		}
		if len(rule.Ports) == 0 {
			t.Error("a rule is about every port")
		}
	}
}

func TestTheWorkflow(t *testing.T) {
	t.Parallel()
	w := readYAML[struct {
		On          map[string]any
		Permissions map[string]string
		Jobs        map[string]struct {
			Timeout  int `yaml:"timeout-minutes"`
			Env      map[string]string
			Services map[string]struct {
				Image, Options string
				Ports          []string
			}
			Steps []struct {
				Uses, Run string
				With      map[string]string
			}
		}
	}](t, ".github/workflows/check.yaml", nil)
	if _, push := w.On["push"]; !push || len(w.On) != 2 || !maps.Equal(w.Permissions, map[string]string{"contents": "read"}) {
		t.Errorf("it runs on %v with %v", w.On, w.Permissions)
	}
	runs := map[string]string{"check": ".ci/run", "services": "make race"}
	for name, job := range w.Jobs {
		if job.Timeout == 0 || job.Env["CI"] != "true" {
			t.Errorf("%s has no timeout or doesn't say that it is CI", name)
		}
		run := false
		for _, step := range job.Steps {
			run = run || step.Run == runs[name]
			if step.Uses != "" && !regexp.MustCompile(`^actions/[a-z-]+@(v\d+|[0-9a-f]{40})$`).MatchString(step.Uses) {
				t.Errorf("%s uses %s", name, step.Uses)
			}
			if strings.HasPrefix(step.Uses, "actions/setup-go@") {
				if _, err := os.Stat(step.With["go-version-file"]); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
		if !run {
			t.Errorf("%s doesn't run %q", name, runs[name])
		}
	}
	if info, err := os.Stat(".ci/run"); err != nil || info.Mode().Perm()&0o111 == 0 {
		t.Errorf(".ci/run can't be run: %v", err)
	}
	c, job := readCompose(t), w.Jobs["services"]
	for name, want := range map[string]struct{ variable, scheme, port string }{
		"mongo": {"MONGODB_TEST_URI", "mongodb", "27017"}, "redis": {"REDIS_TEST_URL", "redis", "6379"},
	} {
		started := job.Services[name]
		if started.Image != c.Services[name].Image || !strings.Contains(started.Options, "--health-cmd") || !slices.Equal(started.Ports, []string{want.port + ":" + want.port}) {
			t.Errorf("%s isn't as in compose, or not waited for: %+v", name, started)
		}
		if got := strings.TrimSuffix(job.Env[want.variable], "/"); got != want.scheme+"://localhost:"+want.port {
			t.Errorf("%s is %s", want.variable, got)
		}
	}
}
