"""What an image needs: feeds, advisories, recipes, and the plan as an answer."""
