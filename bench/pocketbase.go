package main

import (
	"github.com/pocketbase/pocketbase"
	"github.com/pocketbase/pocketbase/apis"
	"github.com/pocketbase/pocketbase/core"
)

// peerEnv makes this program a PocketBase on the folder that it names.
const peerEnv = "BENCH_POCKETBASE"

// servePocketBase serves it as its makers ship it, its own log apart: rate
// limits are off by default.
func servePocketBase(dir, addr string) error {
	app := pocketbase.NewWithConfig(pocketbase.Config{DefaultDataDir: dir, HideStartBanner: true})
	if err := app.Bootstrap(); err != nil {
		return err
	}
	if err := app.RunAllMigrations(); err != nil {
		return err
	}
	app.OnServe().BindFunc(func(e *core.ServeEvent) error {
		settings := e.App.Settings()
		settings.Logs.MaxDays = 0
		if err := e.App.Save(settings); err != nil {
			return err
		}
		return e.Next()
	})
	return apis.Serve(app, apis.ServeConfig{HttpAddr: addr})
}
