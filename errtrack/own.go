package errtrack

import (
	"context"
	"errors"
	"slices"
	"time"
)

// ownName is what the project is called at first that this program reports to itself.
const ownName = "Manus"

// TakeOwn keeps an event of this program's own, as JSON of the protocol, in a project that
// is made for that. It returns ErrBusy, an *envelope.Error for what is no event, or an error
// of the store.
func (s *Service) TakeOwn(ctx context.Context, payload []byte) error {
	p, err := s.ownProject(ctx)
	if err != nil {
		return err
	}
	d := &delivery{Service: s, project: p, proven: true}
	d.takeEvent(ctx, "", time.Time{}, payload)
	return d.err
}

// TakeOwnTrace counts a trace of this program's own, a transaction of the protocol, at its
// route in that project. It returns an error of the store, or of ctx.
func (s *Service) TakeOwnTrace(ctx context.Context, payload []byte) error {
	p, err := s.ownProject(ctx)
	if err != nil {
		return err
	}
	d := &delivery{Service: s, project: p, proven: true}
	d.takeTransaction(ctx, "", payload)
	return d.err
}

// ownProject is the project of this program, however it is called by now. Of two that
// copies have made at once the older one is used.
func (s *Service) ownProject(ctx context.Context) (Project, error) {
	if id := s.own.Load(); id != nil {
		if p, err := s.projectOf(ctx, *id); !errors.Is(err, ErrNoProject) {
			return p, err
		}
	}
	p, err := s.findOwn(ctx)
	if errors.Is(err, ErrNoProject) {
		if _, err := s.makeProject(ctx, Project{Name: ownName, Platform: "go", Own: true}); err != nil {
			return Project{}, err
		}
		p, err = s.findOwn(ctx)
	}
	if err == nil {
		s.own.Store(&p.ID)
	}
	return p, err
}

func (s *Service) findOwn(ctx context.Context) (Project, error) {
	all, err := s.Projects(ctx)
	if err != nil {
		return Project{}, err
	}
	if k := slices.IndexFunc(all, func(p Project) bool { return p.Own }); k >= 0 {
		return all[k], nil
	}
	return Project{}, ErrNoProject
}
