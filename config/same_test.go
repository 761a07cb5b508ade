package config

import (
	"reflect"
	"slices"
	"testing"

	"manus/backup"
	"manus/internal/cron"

	"filippo.io/age"
)

// Each setting has to be the same on all copies, but for these.
func TestEachSettingHasToBeTheSame(t *testing.T) {
	t.Parallel()
	local := []string{"Addr", "OpsAddr", "DataDir", "LogLevel", "LogFormat", "ConfigPath", "EnvFile", "SecretFiles", "Probe.Name", "Probe.Server", "Probe.Key", "ShutdownDelay", "ShutdownTimeout", "MongoDB", "MongoDatabase", "MongoUnnamed", "Backup.S3.SessionToken"}
	var s Settings
	var free []string
	before := s.Text()
	changeEach(reflect.ValueOf(&s).Elem(), "", func(name string) {
		if s.Text() == before && len(s.Secrets()) == 0 {
			free = append(free, name)
		}
	})
	slices.Sort(free)
	slices.Sort(local)
	if !slices.Equal(free, local) {
		t.Errorf("these may differ: %v, want %v", free, local)
	}
	schedule, err := cron.Parse("5 3 * * *")
	if err != nil {
		t.Fatal(err)
	}
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	daily, encrypted := Settings{Backup: Backup{Schedule: schedule}}, Settings{Backup: Backup{Recipients: backup.Recipients{key.Recipient()}}}
	if daily.Text() == before || encrypted.Text() == before {
		t.Error("the schedule or the recipients may differ")
	}
	if again := (Settings{Backup: Backup{Schedule: schedule}}); daily.Text() != again.Text() {
		t.Error("the same schedule differs")
	}
}

// changeEach changes each setting alone, calls f with its name, and takes it back.
func changeEach(v reflect.Value, name string, f func(name string)) {
	if secret, ok := v.Addr().Interface().(*Secret); ok {
		*secret = NewSecret("x")
		f(name)
		*secret = Secret{}
		return
	}
	was := reflect.New(v.Type()).Elem()
	was.Set(v)
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if field := v.Type().Field(i); field.IsExported() {
				changeEach(v.Field(i), join(name, field.Name), f)
			}
		}
		return
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		v.SetString("x")
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Float64:
		v.SetFloat(0.5)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Interface {
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
	default:
		return
	}
	f(name)
	v.Set(was)
}

func join(name, field string) string {
	if name == "" {
		return field
	}
	return name + "." + field
}
