package s3target

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestAPaceIsKeptByAllTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := paceOf(2)
		for range 2 { // what wasn't used meanwhile isn't made up for
			began := time.Now()
			var all sync.WaitGroup
			for range 4 {
				all.Go(func() {
					if n, err := io.Copy(io.Discard, p.body(t.Context(), io.NopCloser(bytes.NewReader(make([]byte, mebi))))); n != mebi || err != nil {
						t.Errorf("%d bytes, %v", n, err)
					}
				})
			}
			all.Wait()
			if took := time.Since(began).Round(time.Millisecond); took != 2*time.Second {
				t.Errorf("4 MiB at 2 MiB a second take %v", took)
			}
			time.Sleep(time.Hour)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		_, err := io.Copy(io.Discard, paceOf(0.1).body(ctx, io.NopCloser(bytes.NewReader(make([]byte, mebi)))))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("it ends after %v with %v", time.Since(began), err)
		}
	})
	var none io.ReadCloser = io.NopCloser(bytes.NewReader(nil))
	if paceOf(0).body(t.Context(), none) != none {
		t.Error("without a pace there is one")
	}
}
