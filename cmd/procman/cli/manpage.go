package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// roffText has a text taken as it is.
var roffText = strings.NewReplacer(`\`, `\e`, "-", `\-`)

// manualPage returns the source of the manual page of a command. It is written here, and not by cobra's package for it: that
// brings a parser of Markdown, whose tables every call of the program would make.
func manualPage(cmd *cobra.Command, source string, date time.Time) []byte {
	cmd.InitDefaultHelpCmd()
	cmd.InitDefaultHelpFlag()
	var b strings.Builder
	name := pageName(cmd)
	fmt.Fprintf(&b, ".TH \"%s\" \"1\" \"%s\" \"%s\" \"procman\"\n", strings.ToUpper(name), date.Format("Jan 2006"), source)
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", roffText.Replace(name), roffText.Replace(cmd.Short))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.B %s\n", roffText.Replace(cmd.UseLine()))
	said := cmd.Long
	if said == "" {
		said = cmd.Short
	}
	b.WriteString(".SH DESCRIPTION\n")
	roffParagraphs(&b, said)
	roffFlags(&b, "OPTIONS", cmd.NonInheritedFlags())
	roffFlags(&b, "OPTIONS INHERITED FROM PARENT COMMANDS", cmd.InheritedFlags())
	if cmd.Example != "" {
		b.WriteString(".SH EXAMPLE\n")
		roffVerbatim(&b, strings.Split(cmd.Example, "\n"))
	}
	var also []string
	if cmd.HasParent() {
		also = append(also, pageName(cmd.Parent()))
	}
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() && !c.IsAdditionalHelpTopicCommand() {
			also = append(also, pageName(c))
		}
	}
	b.WriteString(".SH SEE ALSO\n")
	for n, other := range also {
		end := ","
		if n == len(also)-1 {
			end = ""
		}
		fmt.Fprintf(&b, ".BR %s (1)%s\n", roffText.Replace(other), end)
	}
	return []byte(b.String())
}

// pageName is the name of a command's page.
func pageName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// roffParagraphs writes a text of paragraphs; indented lines stay lines.
func roffParagraphs(b *strings.Builder, text string) {
	for paragraph := range strings.SplitSeq(text, "\n\n") {
		b.WriteString(".PP\n")
		lines := strings.Split(strings.Trim(paragraph, "\n"), "\n")
		if strings.HasPrefix(lines[0], "  ") {
			roffVerbatim(b, lines)
			continue
		}
		for _, line := range lines {
			roffLine(b, line)
		}
	}
}

func roffVerbatim(b *strings.Builder, lines []string) {
	b.WriteString(".PP\n.RS\n.nf\n")
	for _, line := range lines {
		roffLine(b, line)
	}
	b.WriteString(".fi\n.RE\n")
}

func roffLine(b *strings.Builder, line string) {
	if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
		b.WriteString(`\&`) // or it would be a request
	}
	b.WriteString(roffText.Replace(line) + "\n")
}

// roffFlags writes what is to be known of flags; nothing if there are none.
func roffFlags(b *strings.Builder, title string, flags *pflag.FlagSet) {
	if !flags.HasAvailableFlags() {
		return
	}
	fmt.Fprintf(b, ".SH %s\n", title)
	flags.VisitAll(func(flag *pflag.Flag) {
		if flag.Deprecated != "" || flag.Hidden {
			return
		}
		shown := "--" + flag.Name
		if flag.Shorthand != "" {
			shown = "-" + flag.Shorthand + ", " + shown
		}
		takes, usage := pflag.UnquoteUsage(flag)
		if takes != "" {
			shown += "=" + takes
		}
		if value := flag.DefValue; value != "" && value != "false" && value != "[]" {
			usage += fmt.Sprintf(" (default %s)", value)
		}
		fmt.Fprintf(b, ".TP\n.B %s\n", roffText.Replace(shown))
		roffLine(b, usage)
	})
}
