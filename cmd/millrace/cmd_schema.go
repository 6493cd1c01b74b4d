package main

import (
	"github.com/spf13/cobra"

	"github.com/millrace/millrace/engine/jobfile"
)

func newSchema(s streams) *cobra.Command {
	return &cobra.Command{
		Use:   "schema [flags]",
		Short: "Print the JSON Schema of job files, for editors that complete and check them.",
		Long: `Print the JSON Schema of job files, for editors that complete and check them.

It is draft 2020-12, and made from what millrace itself reads. Editors with
yaml-language-server take it by the job file's first line:

  # yaml-language-server: $schema=job.schema.json`,
		Example: `  millrace schema > job.schema.json
  millrace schema | jq '.properties | keys'`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			text, err := jobfile.Schema()
			if err != nil {
				return err
			}
			_, err = s.Out.Write(text)
			return unanswered(err)
		},
	}
}
