"""The transfer loss ``‖K_S − K_T‖_F / ‖K_T‖_F``: one route one file, and the plan that chooses between them."""
