

def test_biases_and_norms_are_refused_beside_a_budget_in_another_unit():
    with pytest.raises(InputError, match="paid for in parameters alone"):
        allocate({}, budget=2, strategy="bias_norm_uniform", unit="memory")
