package grouping

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"manus/errtrack/event"
)

// python is an event of the type and frames "module.function" of the program's own code,
// the outermost first; a frame that begins with "-" isn't.
func python(kind, value string, frames ...string) *event.Event {
	return &event.Event{Platform: "python", Exceptions: []event.Exception{exception(kind, value, frames...)}}
}

func exception(kind, value string, frames ...string) event.Exception {
	x := event.Exception{Type: kind, Value: value}
	for i, f := range frames {
		name, library := strings.CutPrefix(f, "-")
		dot := strings.LastIndexByte(name, '.')
		x.Frames = append(x.Frames, event.Frame{Module: name[:dot], Function: name[dot+1:], Line: i + 1, InApp: !library})
	}
	return x
}

func own(e *event.Event) string { return Of(e).Hashes[0] }

func chain(platform string, exceptions ...event.Exception) *event.Event {
	return &event.Event{Platform: platform, Exceptions: exceptions}
}

func script(frames ...event.Frame) *event.Event {
	for i := range frames {
		frames[i].InApp = true
	}
	return &event.Event{Platform: "javascript", Exceptions: []event.Exception{{Type: "TypeError", Value: "x is not a function", Frames: frames}}}
}

// at is an event with the lines of source of its frames, that which failed first.
func at(e *event.Event, lines ...string) *event.Event {
	frames := e.Stack
	if len(e.Exceptions) > 0 {
		frames = e.Exceptions[len(e.Exceptions)-1].Frames
	}
	for i, line := range lines {
		frames[len(frames)-1-i].Context = []string{line}
	}
	return e
}

// said is an event whose exception has another type and value.
func said(kind, value string, e *event.Event) *event.Event {
	e.Exceptions[0].Type, e.Exceptions[0].Value = kind, value
	return e
}

// helpers are n frames of which each fails for its caller.
func helpers(n int) (frames []string) {
	for i := range n {
		frames = append(frames, "m"+strconv.Itoa(i)+".fail")
	}
	return frames
}

func distinct(name string, n int) []string {
	var all []string
	for i := range n {
		all = append(all, name+"f"+strconv.Itoa(i)+"x")
	}
	return all
}

func with(e *event.Event, fingerprint ...string) *event.Event {
	e.Fingerprint = fingerprint
	return e
}

func TestWhichEventsAreTheSameBug(t *testing.T) {
	t.Parallel()
	lines := python("ValueError", "1", "a.f", "b.g")
	lines.Exceptions[0].Frames[1].Line = 99
	message := func(text, template string, frames ...string) *event.Event {
		return &event.Event{Platform: "go", Message: text, Template: template, Stack: exception("", "", frames...).Frames}
	}
	const wrap, text = "*fmt.wrapError", "*errors.errorString"
	minified := func(line string) *event.Event {
		return script(event.Frame{Filename: "https://x.test/app.3f2c1b9d.js", Function: "t", Context: []string{line}})
	}
	for _, c := range []struct {
		name string
		a, b *event.Event
		same bool
	}{
		{"another value at the same place", python("ValueError", "for alice", "a.f", "b.g"), python("ValueError", "for bob", "a.f", "b.g"), true},
		{"another type at the same place", python("ValueError", "1", "a.f", "b.g"), python("KeyError", "1", "a.f", "b.g"), false},
		{"another line", lines, python("ValueError", "1", "a.f", "b.g"), true},
		{"another function", python("ValueError", "1", "a.f"), python("ValueError", "1", "a.g"), false},
		{"another module", python("ValueError", "1", "a.f"), python("ValueError", "1", "b.f"), false},
		{"another library beneath", python("ValueError", "1", "a.f", "-lib.x"), python("ValueError", "1", "a.f", "-lib.y"), true},
		{"another caller", python("ValueError", "1", "a.f", "b.g"), python("ValueError", "1", "a.h", "b.g"), true},
		{"a helper that throws for everybody", python("ValueError", "1", "a.f", "util.fail"), python("ValueError", "1", "a.g", "util.fail"), false},
		{"a helper, by another way", python("ValueError", "1", "a.x", "a.f", "util.fail"), python("ValueError", "1", "a.y", "a.f", "util.fail"), true},
		{"a helper of a helper", python("ValueError", "1", "a.f", "util.check", "util.fail"), python("ValueError", "1", "a.g", "util.check", "util.fail"), false},
		{"a helper that calls itself", python("ValueError", "1", "a.f", "util.fail", "util.fail"), python("ValueError", "1", "a.f", "util.fail"), true},
		{"the last helper that counts", python("E", "1", append([]string{"m.x"}, helpers(maxFrames-1)...)...), python("E", "1", append([]string{"m.y"}, helpers(maxFrames-1)...)...), false},
		{"beyond the last helper that counts", python("E", "1", append([]string{"m.x"}, helpers(maxFrames)...)...), python("E", "1", append([]string{"m.y"}, helpers(maxFrames)...)...), true},
		{"nobody but a helper", python("ValueError", "no mail", "util.fail"), python("ValueError", "no paper", "util.fail"), false},
		{"nobody but a helper, with its line", at(python("ValueError", "no mail", "util.fail"), "raise e"), at(python("ValueError", "no paper", "util.fail"), "raise e"), false},
		{"a function that isn't a helper", python("ValueError", "1", "a.f", "b.report_chart"), python("ValueError", "1", "a.g", "b.report_chart"), true},

		{"another line of source", at(python("E", "1", "a.f"), "x.y"), at(python("E", "1", "a.f"), "x.z"), false},
		{"the same line of source, moved and indented", at(python("E", "1", "a.f"), "x  = y"), at(python("E", "2", "a.f"), "\tx = y "), true},
		{"a line of source says more than the text", at(chain("go", exception("*errors.errorString", "a", "main.f")), "f()"), at(chain("go", exception("*errors.errorString", "b", "main.f")), "f()"), true},
		{"the line of a helper's caller", at(python("E", "1", "a.f", "util.fail"), "raise e", "fail(1)"), at(python("E", "1", "a.f", "util.fail"), "raise e", "fail(2)"), false},
		{"the line of the helper", at(python("E", "1", "a.f", "util.fail"), "raise e", "fail(1)"), at(python("E", "1", "a.f", "util.fail"), "raise f", "fail(1)"), true},

		{"a deeper recursion", python("RecursionError", "1", "m.main", "m.f", "m.f"), python("RecursionError", "1", "m.main", "m.f", "m.f", "m.f", "m.f"), true},
		{"no own frames: a deeper recursion", python("E", "1", "-m.main", "-m.f", "-m.f"), python("E", "1", "-m.main", "-m.f", "-m.f", "-m.f", "-m.f"), true},
		{"no own frames: a deeper recursion of two", python("E", "1", "-m.main", "-m.f", "-m.g", "-m.f", "-m.g"), python("E", "1", "-m.main", "-m.f", "-m.g"), true},
		{"no own frames: a deeper recursion of three", python("E", "1", "-m.main", "-m.f", "-m.g", "-m.h", "-m.f", "-m.g", "-m.h"), python("E", "1", "-m.main", "-m.f", "-m.g", "-m.h"), true},
		{"no own frames: a deeper recursion of four, which isn't recognised", python("E", "1", "-r.a", "-r.b", "-r.c", "-r.d"), python("E", "1", "-r.a", "-r.b", "-r.c", "-r.d", "-r.a", "-r.b", "-r.c", "-r.d"), false},
		{"no own frames: two that call each other and one that calls another", python("E", "1", "-m.f", "-m.g", "-m.f"), python("E", "1", "-m.h", "-m.g", "-m.f"), false},
		{"no own frames: beyond the last that counts", python("E", "1", append([]string{"-m.x"}, distinct("-m.", maxAllFrames)...)...), python("E", "1", append([]string{"-m.y"}, distinct("-m.", maxAllFrames)...)...), true},
		{"no own frames: the last that counts", python("E", "1", append([]string{"-m.x"}, distinct("-m.", maxAllFrames-1)...)...), python("E", "1", append([]string{"-m.y"}, distinct("-m.", maxAllFrames-1)...)...), false},
		{"no own frames: others beneath", python("E", "t", "-l.f", "-l.g"), python("E", "t", "-l.f", "-l.h"), false},
		{"no own frames: the same", python("E", "t 1", "-l.f", "-l.g"), python("E", "t 2", "-l.f", "-l.g"), true},
		{"no own frames: another text", python("E", "refused", "-l.f", "-l.g"), python("E", "reset", "-l.f", "-l.g"), false},

		{"no stack: another number", python("E", "id 7"), python("E", "id 8"), true},
		{"no stack: another text", python("E", "gone"), python("E", "late"), false},
		{"no stack: another status", python("E", "status 404"), python("E", "status 500"), false},
		{"a stack and none", python("E", "1", "a.f"), python("E", "1"), false},

		{"messages that differ by a number", message("job 7 failed", ""), message("job 8 failed", ""), true},
		{"messages of one template", message("hello alice", "hello %s"), message("hello bob", "hello %s"), true},
		{"messages of several templates", message("hello bob", "hello %s"), message("bye bob", "bye %s"), false},
		{"messages of a template that says nothing", message("no host", "%s: %d {}"), message("no disk", "%s: %d {}"), false},
		{"messages of a template with names that says nothing", message("no host", "%(what)s {0}"), message("no disk", "%(what)s {0}"), false},
		{"messages of a template that isn't one", message("no host", "%(what"), message("no disk", "%(what"), false},
		{"messages of a template that ends in a word", message("no host", "%(a)s {b}x"), message("no disk", "%(a)s {b}x"), true},
		{"a message from two places", message("boom", "", "main.f"), message("boom", "", "main.g"), false},
		{"two messages from one place", message("boom", "", "main.f"), message("bang", "", "main.f"), false},
		{"two messages from one line", at(message("boom", "", "main.f"), "say(x)"), at(message("bang", "", "main.f"), "say(x)"), false},
		{"a message from two lines", at(message("boom", "", "main.f"), "say(x)"), at(message("boom", "", "main.f"), "say(y)"), true},
		{"two messages that an SDK sends as exceptions", at(python("", "boom", "a.f"), "say(x)"), at(python("", "bang", "a.f"), "say(x)"), false},
		{"nothing, twice", &event.Event{ID: "1"}, &event.Event{ID: "2"}, true},

		{"another cause", chain("python", exception("KeyError", "k", "a.f"), exception("E", "v", "a.g")), chain("python", exception("OSError", "k", "a.f"), exception("E", "v", "a.g")), false},
		{"the same cause at another place", chain("python", exception("KeyError", "k", "a.f"), exception("E", "v", "a.g")), chain("python", exception("KeyError", "k", "a.h"), exception("E", "v", "a.g")), false},
		{"a wrapper more, in Go", chain("go", exception("*pq.Error", "dup"), exception(wrap, "save: dup", "main.f")), chain("go", exception("*pq.Error", "dup"), exception(wrap, "save: dup"), exception(wrap, "save: dup", "main.f")), true},
		{"other words in Go's wrappers, caught at one place", chain("go", exception(text, "EOF"), exception(wrap, "read user: EOF", "main.f")), chain("go", exception(text, "EOF"), exception(wrap, "read order: EOF", "main.f")), false},
		{"other numbers in Go's wrappers", chain("go", exception(text, "EOF"), exception(wrap, "read user 7: EOF", "main.f")), chain("go", exception(text, "EOF"), exception(wrap, "read user 8: EOF", "main.f")), true},
		{"the fifth cause", chain("python", exception("A", ""), exception("B", ""), exception("C", ""), exception("D", ""), exception("E", "")), chain("python", exception("X", ""), exception("B", ""), exception("C", ""), exception("D", ""), exception("E", "")), false},
		{"the sixth cause", chain("python", exception("A", ""), exception("B", ""), exception("C", ""), exception("D", ""), exception("E", ""), exception("F", "")), chain("python", exception("X", ""), exception("B", ""), exception("C", ""), exception("D", ""), exception("E", ""), exception("F", "")), true},
		{"a type that an SDK made up", chain("javascript", event.Exception{Type: "Error", Synthetic: true, Value: "v"}), chain("javascript", event.Exception{Value: "v"}), true},

		{"a fingerprint goes before all", with(python("A", "1", "a.f"), "mine"), with(python("B", "2", "b.f"), "mine"), true},
		{"other fingerprints", with(python("A", "1", "a.f"), "mine"), with(python("A", "1", "a.f"), "yours"), false},
		{"a fingerprint and the default", with(python("A", "1", "a.f"), "{{ default }}", "x"), with(python("B", "1", "a.f"), "{{ default }}", "x"), false},
		{"the default and another fingerprint", with(python("A", "1", "a.f"), "{{ default }}", "x"), with(python("A", "1", "a.f"), "{{ default }}", "y"), false},
		{"the default without spaces", with(python("A", "1", "a.f"), "{{default}}", "x"), with(python("A", "2", "a.f"), "{{ default }}", "x"), true},
		{"only the default", with(python("A", "1", "a.f"), "{{ default }}"), python("A", "1", "a.f"), true},
		{"a variable of a fingerprint, of one value", with(python("A", "1", "a.f"), "{{ error.type }}"), with(python("A", "2", "b.g"), "{{ error.type }}"), true},
		{"a variable of a fingerprint, of two", with(python("A", "1", "a.f"), "{{ type }}", "x"), with(python("B", "1", "a.f"), "{{ type }}", "x"), false},
		{"the parts of a fingerprint aren't one text", with(python("A", "1"), "ab", "c"), with(python("A", "1"), "a", "bc"), false},

		{"the next build of a minified bundle", minified("var a=1;{snip}function t(e){return e.x()}"), minified("var b=2;{snip}function t(e){return e.x()}"), true},
		{"the next build calls it otherwise", minified("{snip}"), script(event.Frame{Filename: "app.77ac01ff.js", Function: "e", Context: []string{"{snip}"}}), true},
		{"a line of source, where the function has no name", script(event.Frame{Filename: "app.js", Function: "?", Context: []string{"  a.b()  "}}), script(event.Frame{Filename: "app.js", Function: "<anonymous>", Context: []string{"a.b()"}}), true},
		{"another line of source, where the function has no name", script(event.Frame{Filename: "app.js", Context: []string{"a.b()"}}), script(event.Frame{Filename: "app.js", Context: []string{"c.d()"}}), false},
		{"the caller of what has no name", script(event.Frame{Filename: "app.js", Function: "run"}, event.Frame{Filename: "app.js"}), script(event.Frame{Filename: "app.js", Function: "save"}, event.Frame{Filename: "app.js"}), false},
		{"the caller of what has no name but a line", script(event.Frame{Filename: "app.js", Function: "run"}, event.Frame{Filename: "app.js", Context: []string{"a.b()"}}), script(event.Frame{Filename: "app.js", Function: "save"}, event.Frame{Filename: "app.js", Context: []string{"a.b()"}}), true},
		{"another text, where the function has no name", said("Error", "no mail", minified("{snip}")), said("Error", "no paper", minified("{snip}")), false},
		{"another text, where a caller has a name", said("Error", "no mail", script(event.Frame{Filename: "app.js", Function: "run"}, event.Frame{Filename: "app.js"})), said("Error", "no paper", script(event.Frame{Filename: "app.js", Function: "run"}, event.Frame{Filename: "app.js"})), false},
		{"another text of an engine's error", said("TypeError", "x is null", script(event.Frame{Filename: "app.js", Function: "run"})), said("TypeError", "y is null", script(event.Frame{Filename: "app.js", Function: "run"})), false},
		{"another name that isn't known", said("ReferenceError", "x is not defined", script(event.Frame{Filename: "app.js", Function: "run"})), said("ReferenceError", "y is not defined", script(event.Frame{Filename: "app.js", Function: "run"})), false},
		{"another value out of range", said("RangeError", "Invalid array length", script(event.Frame{Filename: "app.js", Function: "run"})), said("RangeError", "Invalid time value", script(event.Frame{Filename: "app.js", Function: "run"})), false},
		{"another text of an engine's error at a line", said("TypeError", "x is null", script(event.Frame{Filename: "app.js", Function: "run", Context: []string{"x.y"}})), said("TypeError", "can't access property", script(event.Frame{Filename: "app.js", Function: "run", Context: []string{"x.y"}})), true},
		{"another text of the parser's error", said("SyntaxError", "Unexpected token a", script(event.Frame{Filename: "app.js", Function: "run"})), said("SyntaxError", "Unexpected end", script(event.Frame{Filename: "app.js", Function: "run"})), true},
		{"another text of the program's error", said("OrderError", "of tea", script(event.Frame{Filename: "app.js", Function: "run"})), said("OrderError", "of dates", script(event.Frame{Filename: "app.js", Function: "run"})), true},
		{"another text of an error of that name in another language", python("TypeError", "a", "a.f"), python("TypeError", "b", "a.f"), true},
		{"what a browser puts between", script(event.Frame{Filename: "app.js", Function: "run"}, event.Frame{Filename: "<anonymous>", Function: "Array.map"}, event.Frame{Filename: "app.js", Function: "each"}), script(event.Frame{Filename: "app.js", Function: "run"}, event.Frame{Filename: "app.js", Function: "each"}), true},
	} {
		if same := own(c.a) == own(c.b); same != c.same {
			t.Errorf("%s: same is %v\n\t%+v\n\t%+v", c.name, same, Of(c.a).Why, Of(c.b).Why)
		}
	}
}

func TestFramesHaveOneNameInEveryBuildAndBrowser(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		platform string
		frame    event.Frame
		want     string
	}{
		{"python", event.Frame{Module: "app.views", Filename: "app/views.py", Function: "checkout"}, "app.views.checkout"},
		{"python", event.Frame{Module: "app.views", Function: "<lambda>"}, "app.views.<lambda>"},
		{"python", event.Frame{Module: "__main__", Filename: "/srv/run.py", Function: "main"}, "run.py.main"},
		{"python", event.Frame{Filename: "shop/orders/__init__.py", Function: "total"}, "orders/__init__.py.total"},
		{"python", event.Frame{AbsPath: `C:\Shop\Orders.py`, Function: "total"}, "orders.py.total"},
		{"go", event.Frame{Module: "main", Function: "run.func1"}, "main.run.func1"},
		{"go", event.Frame{Module: "main", Function: "func1"}, "main"},
		{"go", event.Frame{Module: "main", Function: "func2.1"}, "main"},
		{"go", event.Frame{Module: "main", Function: "func2x"}, "main.func2x"},
		{"go", event.Frame{Module: "main", Function: "run.func2.1"}, "main.run.func2.1"},
		{"go", event.Frame{Module: "main", Function: "(*Server).Handle.gowrap3"}, "main.(*Server).Handle.gowrap"},
		{"go", event.Frame{Module: "main", Function: "Map[...].Get"}, "main.Map.Get"},
		{"go", event.Frame{Module: "main", Function: "(*Server).ServeHTTP-fm"}, "main.(*Server).ServeHTTP"},
		{"go", event.Frame{Module: "gopkg.in/yaml.v3", Function: "step2"}, "gopkg.in/yaml.v3.step2"},
		{"javascript", event.Frame{Filename: "https://x.test/static/app.3f2c1b9d.js?v=7", Function: "save"}, "app.js.save"},
		{"javascript", event.Frame{Filename: "/assets/index-BkT9zQ3x.js", Function: "save"}, "index.js.save"},
		{"javascript", event.Frame{Filename: "/assets/index-B_T9-Q3x.js", Function: "save"}, "index.js.save"},
		{"javascript", event.Frame{Filename: "chunk-ABCDEF12.js", Function: "save"}, "chunk.js.save"},
		{"javascript", event.Frame{Filename: "2.5a8e1f2c.chunk.js", Function: "save"}, "chunk.js.save"},
		{"javascript", event.Frame{Filename: "chunk-ABCDEFGH.js", Function: "save"}, "chunk.js.save"},
		{"javascript", event.Frame{Filename: "app.3f2c1b9.js", Function: "save"}, "app.js.save"},
		{"javascript", event.Frame{Filename: "app.3F2C1B9DA.js", Function: "save"}, "app.js.save"},
		{"javascript", event.Frame{Filename: "app.3f2c1b.js", Function: "save"}, "app.3f2c1b.js.save"},
		{"javascript", event.Frame{Filename: "facade_decaf.js", Function: "save"}, "facade_decaf.js.save"},
		{"javascript", event.Frame{Filename: "a.feedface.js", Function: "save"}, "a.feedface.js.save"},
		{"javascript", event.Frame{Filename: "jquery-3.6.0.min.js", Function: "each"}, "jquery.min.js.each"},
		{"javascript", event.Frame{Filename: "ZA/AZ.js", Function: "save"}, "az.js.save"},
		{"javascript", event.Frame{Filename: "https://x.test/#/orders", Function: "save"}, "save"},
		{"python", event.Frame{Filename: "report_3f2c1b9d.py", Function: "save"}, "report_3f2c1b9d.py.save"},
		{"python", event.Frame{Filename: "2024/index.py", Function: "save"}, "index.py.save"},
		{"python", event.Frame{Filename: "t_0123456789abcdef.py", Function: "save"}, "t.py.save"},
		{"python", event.Frame{Filename: "t_0123456789abcde.py", Function: "save"}, "t_0123456789abcde.py.save"},
		{"python", event.Frame{Module: strings.Repeat("é", maxName), Function: "f"}, strings.Repeat("é", maxName/2) + ".f"},
		{"python", event.Frame{Module: "a" + strings.Repeat("é", maxName), Function: "f"}, "a" + strings.Repeat("é", maxName/2-1) + ".f"},
		{"javascript", event.Frame{Filename: "app.min.js", Function: "on", Context: []string{"x"}}, "app.min.js"},
		{"javascript", event.Frame{Filename: "app.min.js", Function: "run", Context: []string{"x"}}, "app.min.js.run"},
		{"javascript", event.Frame{Filename: "app.js", Function: "on", Context: []string{"x"}}, "app.js.on"},
		{"javascript", event.Frame{Filename: "foo-big-card.js", Function: "save"}, "foo-big-card.js.save"},
		{"javascript", event.Frame{Filename: "app:///src/UserList.tsx", Function: "save"}, "userlist.tsx.save"},
		{"javascript", event.Frame{Filename: "webpack-internal:///./app/orders/page.tsx", Function: "Page"}, "orders/page.tsx.Page"},
		{"javascript", event.Frame{Filename: "a.js", Function: "new Cart"}, "a.js.Cart"},
		{"javascript", event.Frame{Filename: "a.js", Function: "async Object.load"}, "a.js.load"},
		{"javascript", event.Frame{Filename: "a.js", Function: "async*load"}, "a.js.load"},
		{"javascript", event.Frame{Filename: "a.js", Function: "load/inner/<"}, "a.js.inner"},
		{"javascript", event.Frame{Filename: "a.js", Function: "Foo.bar [as baz]"}, "a.js.bar"},
		{"javascript", event.Frame{Filename: "a.js", Function: "HTMLButtonElement.<anonymous>"}, "a.js"},
		{"javascript", event.Frame{Filename: "<anonymous>", Function: "Array.forEach"}, ""},
		{"javascript", event.Frame{Filename: "[native code]", Function: "forEach"}, ""},
		{"node", event.Frame{Module: "routes:users", Filename: "/srv/routes/users.js", Function: "load"}, "routes:users.load"},
		{"node", event.Frame{Module: "chunks:chunk-AB12CD34", Function: "load"}, "chunks:chunk.load"},
		{"java", event.Frame{Module: "com.example.Foo$$Lambda$123/0x0008", Function: "run"}, "com.example.Foo.run"},
		{"java", event.Frame{Module: "com.example.Foo$1", Function: "lambda$run$3"}, "com.example.Foo$.lambda$run$"},
		{"java", event.Frame{Module: "jdk.internal.reflect.GeneratedMethodAccessor17", Function: "invoke"}, "jdk.internal.reflect.GeneratedMethodAccessor.invoke"},
		{"php", event.Frame{Filename: "/srv/src/Order.php", Function: `App\Order::{closure:App\Order::total():42}`}, `order.php.App\Order::{closure}`},
		{"php", event.Frame{Filename: "/srv/src/Order.php", Function: "class@anonymous\x00/srv/src/Order.php:12$0::run"}, "order.php.class@anonymous"},
		{"php", event.Frame{Filename: "/views/3f2c1b9d3f2c1b9d3f2c1b9d3f2c1b9d3f2c1b9d.php", Function: "include"}, "php.include"},
		{"ruby", event.Frame{Filename: "app/models/user.rb", Function: "block (2 levels) in save"}, "user.rb.save"},
		{"ruby", event.Frame{Filename: "app/views/show.html.erb", Function: "_app_views_show_html_erb___1234567_8910"}, "show.html.erb._app_views_show_html_erb____"},
		{"native", event.Frame{Module: "shop", Function: "shop::cart::add::h0123456789abcdef"}, "shop.shop::cart::add"},
		{"csharp", event.Frame{Module: "Shop.Cart", Function: "<Add>b__0_1"}, "Shop.Cart.<Add>b___"},
		{"native", event.Frame{Function: "main"}, "main"},
		{"other", event.Frame{}, ""},
	} {
		e := &event.Event{Platform: c.platform, Stack: []event.Frame{c.frame}}
		if got := strings.Join(Of(e).Why.Frames, " "); got != c.want {
			t.Errorf("%s %+v is %q, want %q", c.platform, c.frame, got, c.want)
		}
	}
}

func TestLinesOfSourceThatFailed(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxLine)
	for _, c := range []struct {
		frame event.Frame
		want  string
	}{
		{event.Frame{Context: []string{"", "\tx  =\ty "}, ContextLine: 1}, "x = y"},
		{event.Frame{Context: []string{"before", "x = y", "after"}, ContextLine: 1}, "x = y"},
		{event.Frame{Context: []string{long}}, long},
		{event.Frame{Context: []string{long + "x"}}, ""},
		{event.Frame{Context: []string{"a{snip}b"}}, ""},
		{event.Frame{Context: []string{"x"}, ContextLine: 1}, ""},
		{event.Frame{Context: []string{"x"}, ContextLine: -1}, ""},
		{event.Frame{}, ""},
	} {
		c.frame.Module, c.frame.Function, c.frame.InApp = "a", "f", true
		if got := Of(chain("python", event.Exception{Type: "E", Frames: []event.Frame{c.frame}})).Why.Line; got != c.want {
			t.Errorf("%q of %+v, want %q", got, c.frame, c.want)
		}
	}
}

func TestHelpersAreToldByWholeWords(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"fail", "failWith", "fail_with", "FailIf", "_fail", "$fail", "__assert__", "assert", "assertEqual", "must", "MustCompile", "Must[...]", "throwHelper",
		"check", "checkErr", "checkError", "check_error", "panicIf", "panic_unless", "captureException", "reportError", "raiseError", "raise_error", "requireNonNull", "ensureThat",
		"(*Server).fail", "shop::check", `App\Order::fail`, "Invariant", "die", "abort", "abortOn", "verify", "expect",
	} {
		if !isHelper(name) {
			t.Errorf("%s isn't a helper", name)
		}
	}
	for _, name := range []string{
		"", "?", "<lambda>", "1", "checkout", "check_out", "checkOut", "checkOrder", "reporter", "report_chart", "ReportErrand", "failover", "failOver", "dieselPrice", "mustache", "asserted",
		"verifyEmail", "capturePayment", "requireLogin", "raise_funds", "abortUpload", "expectation", "throwing", "uncheck", "fail.func1", "check.run", "onFail", "failWithout",
	} {
		if isHelper(name) {
			t.Errorf("%s is a helper", name)
		}
	}
}

func TestOwnCodeIsToldByPathsWhereMarksDoNot(t *testing.T) {
	t.Parallel()
	own, library := event.Frame{Module: "own", AbsPath: "/srv/own.py", Function: "f"}, event.Frame{Module: "lib", AbsPath: "/srv/lib.py", Function: "g"}
	path := func(f event.Frame, path string) event.Frame { f.AbsPath = path; return f }
	gopher := func(module, path string) event.Frame {
		return event.Frame{Module: module, Filename: path, Function: "f"}
	}
	for _, c := range []struct {
		name, platform string
		marks          string // of the frames, the outermost first: x is one of the program's own
		frames         []event.Frame
		want           string // the frames that say where it failed
	}{
		{"what is marked", "python", "x-", []event.Frame{own, library}, "own.f"},
		{"what is marked, whatever its path", "python", "x-", []event.Frame{path(own, "/venv/lib/python3.12/site-packages/own.py"), library}, "own.f"},
		{"all are marked", "python", "xx", []event.Frame{own, library}, "lib.g"},
		{"all are marked, one is installed", "python", "xx", []event.Frame{own, path(library, "/usr/lib/python3/dist-packages/lib.py")}, "own.f"},
		{"all are marked, one is installed for itself", "python", "xx", []event.Frame{own, path(library, "/venv/lib/python3.12/site-packages/lib.py")}, "own.f"},
		{"all are marked, one is a package of Node", "javascript", "xx", []event.Frame{own, path(library, "http://localhost/node_modules/.vite/lib.js")}, "own.f"},
		{"Python's library is marked", "python", "xx", []event.Frame{own, path(library, "/usr/lib/python3.11/json/lib.py")}, "own.f"},
		{"Python's library of pyenv is marked, another isn't", "python", "x-x", []event.Frame{own, library, path(library, "/root/.pyenv/versions/3.12.1/lib/python3.12/lib.py")}, "own.f"},
		{"a folder that only begins so", "python", "xx", []event.Frame{own, path(library, "/srv/lib/pythonic/lib.py")}, "lib.g"},
		{"a folder without anything", "python", "xx", []event.Frame{own, path(library, "/srv/lib/python")}, "lib.g"},
		{"none is marked", "python", "--", []event.Frame{own, library}, ""},
		{"Go: none is marked", "go", "--", []event.Frame{gopher("main", "shop/main.go"), gopher("sync", "sync/once.go")}, "main.f"},
		{"Go: none is marked, a package of a module with a dot", "go", "---", []event.Frame{gopher("main", "x.test/shop/main.go"), gopher("x.test/shop/cart", "x.test/shop/cart/cart.go"), gopher("x.test/lib", "x.test/lib@v1.2.3/lib.go")}, "x.test/shop/cart.f"},
		{"Go: none is marked, installed with its version", "go", "-", []event.Frame{gopher("main", "x.test/shop@v1.0.0/main.go")}, "main.f"},
		{"Go: only libraries", "go", "---", []event.Frame{gopher("net/http", "net/http/server.go"), gopher("x.test/lib", "x.test/lib@v1.2.3/lib.go"), gopher("", "")}, ""},
		{"Go: a library is marked", "go", "-xx", []event.Frame{gopher("runtime", "/usr/local/go/src/runtime/panic.go"), gopher("main", "/src/main.go"), gopher("x.test/lib", "/root/go/pkg/mod/x.test/lib@v1.2.3/lib.go")}, "main.f"},
	} {
		for i := range c.frames {
			c.frames[i].InApp = c.marks[i] == 'x'
		}
		g := Of(chain(c.platform, event.Exception{Type: "E", Frames: c.frames}))
		got := ""
		if g.Why.Rule == OwnFrames {
			got = strings.Join(g.Why.Frames, " ")
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		if function := g.Culprit[max(0, strings.LastIndex(g.Culprit, " ")+1):]; c.want != "" && !strings.HasSuffix(c.want, "."+function) {
			t.Errorf("%s: the culprit is %q", c.name, g.Culprit)
		}
	}
}

func TestAnEventIsFoundByAllItsFramesToo(t *testing.T) {
	t.Parallel()
	marked, unmarked := Of(python("E", "1", "a.f", "-lib.g")), Of(python("E", "1", "-a.f", "-lib.g"))
	if len(marked.Hashes) != 2 || marked.Hashes[1] != unmarked.Hashes[0] {
		t.Errorf("%q, and with no frames of its own %q", marked.Hashes, unmarked.Hashes)
	}
	a, b := Of(with(python("E", "1", "a.f", "-lib.g"), "{{ default }}", "x")), Of(with(python("E", "1", "-a.f", "-lib.g"), "{{ default }}", "x"))
	if len(a.Hashes) != 2 || a.Hashes[1] != b.Hashes[0] || a.Hashes[1] == marked.Hashes[1] {
		t.Errorf("with a fingerprint: %q, and with no frames of its own %q", a.Hashes, b.Hashes)
	}
}

func TestANewVersionOfTheRulesKeepsTheOldHashes(t *testing.T) {
	t.Parallel()
	e := python("E", "1", "a.f")
	before := Of(e)
	v2 := Version{"v2", func(*event.Event) ([]key, Why) { return []key{key("new")}, Why{Rule: Text} }}
	after := of(e, append([]Version{v2}, Versions...))
	if !strings.HasPrefix(after.Hashes[0], "v2:") || !slices.Equal(after.Hashes[1:], before.Hashes) || after.Why.Rule != Text {
		t.Errorf("%+v after %+v", after, before)
	}
}

// TestHashesStayAsTheyAre fails when a change makes new issues of old ones: it needs a
// version of the rules.
func TestHashesStayAsTheyAre(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		event *event.Event
		want  string
	}{
		{python("ValueError", "1", "a.f", "-lib.g"), "v1:ab3fa8eb0f4f2780ab1441d88b0eb091"},
		{at(python("ValueError", "1", "a.f", "a.fail"), "raise", "fail(1)"), "v1:e099cbeb01ca2bdcc922acc4f90634ad"},
		{chain("go", exception("*errors.errorString", "no user 7", "main.f")), "v1:27555c978731f358a2fac04a74318cc8"},
		{python("ValueError", "id 7", "-lib.f", "-lib.g"), "v1:d6601089220ee2e15a66dc247d1cd41b"},
		{python("ValueError", "id 7"), "v1:90d79dd60f19e19bba135faec9626649"},
		{&event.Event{Message: "job 7 failed"}, "v1:aa2f05886c6a00bee39fb49c1aad5e7c"},
		{with(python("A", "1"), "mine"), "v1:eefeaa93337af687fcac176c75c257b4"},
		{&event.Event{}, "v1:8d90b96e61725fc5c9763e3ffcd431a5"},
	} {
		if got := own(c.event); got != c.want {
			t.Errorf("%+v is %s, want %s", Of(c.event).Why, got, c.want)
		}
	}
}

func TestWhatPeopleSee(t *testing.T) {
	t.Parallel()
	goError := chain("go", exception("*errors.errorString", "not found"), exception("*fmt.wrapError", "get user: not found", "main.get"))
	typed := chain("go", exception("*pq.Error", "duplicate"), exception("*fmt.wrapError", "save: duplicate", "main.save"))
	routed := python("ValueError", "bad\nsecond line", "a.f")
	routed.Transaction = "/checkout"
	library := python("E", "", "-lib.x", "-lib.y")
	for _, c := range []struct {
		event                       *event.Event
		title, kind, value, culprit string
	}{
		{routed, "ValueError: bad", "ValueError", "bad\nsecond line", "/checkout"},
		{python("ValueError", "bad", "a.f", "-lib.g"), "ValueError: bad", "ValueError", "bad", "a in f"},
		{library, "E", "E", "", "lib in y"},
		{python("E", "", "a.f", "a.check", "-lib.x"), "E", "E", "", "a in f"},
		{python("E", "", "a.check", "-lib.x"), "E", "E", "", "a in check"},
		{goError, "get user: not found", "*errors.errorString", "get user: not found", "main in get"},
		{typed, "*pq.Error: save: duplicate", "*pq.Error", "save: duplicate", "main in save"},
		{chain("python", exception("KeyError", "'k'", "a.f"), exception("AppError", "no k", "a.g")), "AppError: no k", "AppError", "no k", "a in f"},
		{chain("javascript", event.Exception{Value: "hello"}), "hello", "", "hello", ""},
		{chain("javascript", event.Exception{Type: "Error", Value: "hello", Synthetic: true}), "hello", "", "hello", ""},
		{&event.Event{Message: "job 7 failed", Template: "job %d failed"}, "job 7 failed", "", "job 7 failed", ""},
		{&event.Event{}, "<unlabeled event>", "", "", ""},
	} {
		g := Of(c.event)
		if g.Title != c.title || g.Type != c.kind || g.Value != c.value || g.Culprit != c.culprit {
			t.Errorf("%+v is %q, %q, %q, %q", c, g.Title, g.Type, g.Value, g.Culprit)
		}
	}
}

func TestWhySaysWhatWasUsed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		event  *event.Event
		en, ar string
	}{
		{python("ValueError", "1", "a.f", "b.g", "c.h"), "Put together by the type ValueError and the innermost frame of the program's own code: c.h.",
			"جُمِعت حسب النوع \u2068ValueError\u2069 والإطار الأقرب إلى الخطأ من شيفرة البرنامج نفسه: \u2068c.h\u2069."},
		{at(python("ValueError", "1", "a.f", "b.check", "c.fail"), "raise", "fail(x)", "check(y)"), "Put together by the type ValueError and the 3 innermost frames of the program's own code: c.fail, b.check, a.f and the line of source check(y).",
			"جُمِعت حسب النوع \u2068ValueError\u2069 وأقرب 3 إطارات إلى الخطأ من شيفرة البرنامج نفسه: \u2068c.fail\u2069، \u2068b.check\u2069، \u2068a.f\u2069 والسطر البرمجي \u2068check(y)\u2069."},
		{python("E", "id 7", "-l.f"), "Put together by the type E and its only frame, which isn't the program's own code: l.f and the text id <n>.", ""},
		{python("E", "id 7"), "Put together by the type E and the text id <n>.", "جُمِعت حسب النوع \u2068E\u2069 والنص \u2068id <n>\u2069."},
		{&event.Event{}, "Put together by nothing: it has no type, no stack and no text.", "جُمِعت حسب لا شيء: ليس فيه نوع ولا مكدّس استدعاءات ولا نص."},
		{with(python("E", "1"), "a", "b"), "Put together by the fingerprint that the program gave: a, b.", ""},
		{with(python("E", "x"), "{{ default }}", "b"), "Put together by the fingerprint that the program gave: {{ default }}, b, where the default is the type E and the text x.", ""},
		{with(python("E", "x"), "{{ error.type }}", "{{ nonsense }}"), "Put together by the fingerprint that the program gave: {{ error.type }} E, {{ nonsense }}; taken as they are written, as they stand for nothing that is known: {{ nonsense }}.", ""},
	} {
		got := Of(c.event).Why.Sentence()
		if got.En != c.en || c.ar != "" && got.Ar != c.ar {
			t.Errorf("%+v says\n\t%s\n\t%s", Of(c.event).Why, got.En, got.Ar)
		}
	}
}

func FuzzOf(f *testing.F) {
	f.Add("python", "ValueError", "for 'alice' at 10.0.0.1:80", "app.views", "app/views.py", "f", "x = 1", "a", true, uint8(3))
	f.Add("javascript", "", "https://a/(b): 1,2, 3", "", "https://a.test/index-BkT9zQ3x.min.js?x", "new Foo/<", "{snip}", "{{ default }}", false, uint8(200))
	f.Add("php", "*fmt.wrapError", "2026-11-26T21:30:00Z 4e1b0c9e-8f5d-4f0a-9d0e-0a1b2c3d4e5f", "$$", `\`, "{closure:", "", "{{", true, uint8(0))
	f.Fuzz(func(t *testing.T, platform, kind, value, module, file, function, line, fingerprint string, inApp bool, depth uint8) {
		x := event.Exception{Type: kind, Value: value}
		for i := range int(depth) {
			x.Frames = append(x.Frames, event.Frame{Module: module, Filename: file, Function: function + strconv.Itoa(i%5), InApp: inApp, Context: []string{line}, ContextLine: i % 3})
		}
		e := &event.Event{Platform: platform, Message: value, Transaction: module, Exceptions: []event.Exception{x, {Type: module, Value: line}}}
		if fingerprint != "" {
			e.Fingerprint = []string{fingerprint, value}
		}
		g, again := Of(e), Of(e)
		if !slices.Equal(g.Hashes, again.Hashes) || g.Why.Sentence() != again.Why.Sentence() || g.Title != again.Title {
			t.Errorf("%+v, and then %+v", g, again)
		}
		if len(g.Hashes) == 0 || len(g.Hashes) > 2*len(Versions) {
			t.Errorf("hashes: %q", g.Hashes)
		}
		for _, h := range g.Hashes {
			if version, sum, _ := strings.Cut(h, ":"); version == "" || len(sum) != 32 {
				t.Errorf("hash %q", h)
			}
		}
		for text, most := range map[string]int{g.Title: maxTitle, g.Type: maxType, g.Value: maxValue, g.Culprit: maxCulprit} {
			if n := utf8.RuneCountInString(text); n > most || !utf8.ValidString(text) {
				t.Errorf("%q has %d characters", text, n)
			}
		}
		if g.Title == "" || strings.Contains(g.Title, "\n") || len(g.Why.Frames) > maxFrames || len(g.Why.Line) > maxLine || len(g.Why.Text) > 4*maxText {
			t.Errorf("%+v", g)
		}
	})
}

// sink keeps the compiler from leaving out what is measured.
var sink Group

func BenchmarkOf(b *testing.B) {
	var frames []string
	for i := range 50 {
		name := "company.product.package" + strconv.Itoa(i%7) + ".function_" + strconv.Itoa(i)
		if i%3 != 0 {
			name = "-" + name
		}
		frames = append(frames, name)
	}
	events := map[string]*event.Event{
		"python": python("ValueError", "invalid literal for int() with base 10: 'abc'", frames...),
		"text":   python("OperationalError", "could not connect to server 10.0.0.7:5432 for alice@example.com after 30.5s: /var/run/x, request 4e1b0c9e-8f5d-4f0a-9d0e-0a1b2c3d4e5f"),
	}
	bundle := python("TypeError", "Cannot read properties of undefined (reading 'id')", frames...)
	bundle.Platform = "javascript"
	for i := range bundle.Exceptions[0].Frames {
		f := &bundle.Exceptions[0].Frames[i]
		f.Module, f.Filename = "", "https://shop.example.com/static/js/main.3f2c1b9d.chunk.js"
	}
	events["javascript"] = bundle
	for name, e := range events {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				sink = Of(e)
			}
		})
	}
}
