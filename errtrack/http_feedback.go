package errtrack

import (
	"context"

	"manus/httpapi"
	"manus/language"
)

// feedbackBody is what somebody said, as a list has it.
type feedbackBody struct {
	ID        string `json:"id"`
	ProjectID string `json:"project_id"`
	EventID   string `json:"event_id" doc:"The event that it is about; empty for none." ar:"الحدث الذي هو عنه؛ فارغ حيث لا حدث."`
	IssueID   string `json:"issue_id" doc:"That event's issue; empty where the event isn't there." ar:"مشكلة ذلك الحدث؛ فارغ حيث لا يوجد الحدث."`
	At        string `json:"at" format:"date-time"`
	Name      string `json:"name"`
	Email     string `json:"email"`
	Message   string `json:"message"`
	URL       string `json:"url" doc:"The page that it was written on, without its query." ar:"الصفحة التي كُتب فيها، بلا استعلامها."`
}

func newFeedbackBody(f Feedback, issue string) feedbackBody {
	return feedbackBody{ID: f.ID, ProjectID: f.Project, EventID: f.EventID, IssueID: issue, At: f.At.String(), Name: f.Name, Email: f.Email, Message: f.Message, URL: f.URL}
}

type issueFeedbackInput struct {
	httpapi.Page
	ID string `path:"id" maxLength:"64"`
}

type listFeedbackInput struct {
	httpapi.Page
	Project string `query:"project" maxLength:"64" doc:"Its id, its name or its slug; all where it isn't said." ar:"معرّفه أو اسمه أو slug؛ والكلّ حيث لا يُذكر."`
}

func (s *Service) feedbackRoutes(group httpapi.Group, route newRoute) {
	httpapi.Register(group, route("GET /ops/issues/{id}/feedback", "list-issue-feedback", language.Text{En: "See what people said of an issue's events, newest first", Ar: "اعرض ما قاله الناس عن أحداث مشكلة، أحدثه أوّلًا"}, ErrNoIssue),
		func(ctx context.Context, in *issueFeedbackInput) (*httpapi.ListOutput[feedbackBody], error) {
			issue, err := s.Issue(ctx, in.ID)
			if err != nil {
				return nil, err
			}
			found, next, err := s.IssueFeedback(ctx, issue, in.Limit, in.Cursor)
			return httpapi.ListOf(found, next, err, func(f Feedback) feedbackBody { return newFeedbackBody(f, issue.ID) })
		})
	httpapi.Register(group, route("GET /ops/feedback", "list-feedback", language.Text{En: "See what people said of a project's program, or of all, newest first", Ar: "اعرض ما قاله الناس عن برنامج مشروع أو عن كلّ البرامج، أحدثه أوّلًا"}, ErrNoProject, ErrInvalid),
		func(ctx context.Context, in *listFeedbackInput) (*httpapi.ListOutput[feedbackBody], error) {
			found, next, err := s.AllFeedback(ctx, in.Project, in.Limit, in.Cursor)
			list := httpapi.List[feedbackBody]{Items: []feedbackBody{}, NextCursor: next}
			for _, f := range found {
				issue, failure := s.issueOfFeedback(ctx, f)
				if failure != nil {
					return nil, failure
				}
				list.Items = append(list.Items, newFeedbackBody(f, issue))
			}
			return httpapi.OutputOf(list, err)
		})
}
